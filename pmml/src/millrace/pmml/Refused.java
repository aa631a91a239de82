package millrace.pmml;

/** What is wrong with a document, a message or a row; the text is for who sent it. */
final class Refused extends Exception {
    private static final long serialVersionUID = 1;

    Refused(String text) {
        super(text);
    }
}
