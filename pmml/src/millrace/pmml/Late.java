package millrace.pmml;

/** Nobody waits for the answer any longer. */
final class Late extends Exception {
    private static final long serialVersionUID = 1;
}
