package millrace.pmml;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.StringJoiner;
import org.pmml4s.common.BooleanType$;
import org.pmml4s.common.DataType;
import org.pmml4s.common.DoubleType$;
import org.pmml4s.common.FloatType$;
import org.pmml4s.common.IntegerType$;
import org.pmml4s.common.RealType$;
import org.pmml4s.common.StringType$;
import org.pmml4s.common.StructField;
import org.pmml4s.common.StructType;
import org.pmml4s.data.BoolVal;
import org.pmml4s.data.DataVal;
import org.pmml4s.data.DoubleVal;
import org.pmml4s.data.GenericSeriesWithSchema;
import org.pmml4s.data.LongVal;
import org.pmml4s.data.Series;
import org.pmml4s.data.StringVal;
import org.pmml4s.metadata.Field;
import org.pmml4s.metadata.OutputField;
import org.pmml4s.model.MiningModel;
import org.pmml4s.model.Model;
import org.pmml4s.model.Segment;

/** A PMML document in PMML4S, which computes rows of columns; many threads may ask it at once. */
final class Document {
    private final Model model;
    private final Field[] inputs;
    private final DataVal[] classes;
    private final List<OutputField> others = new ArrayList<>();
    private final String main;
    /** Of which datatype the label is. */
    private final String labels;
    private final boolean shares;

    /** Reads a document. Throws Refused with what PMML4S says, or what it would compute wrongly. */
    Document(String text) throws Refused {
        // PMML needs neither, and both can make a small document large.
        if (text.contains("<!DOCTYPE") || text.contains("<!ENTITY"))
            throw new Refused("it declares a document type or entities");
        try {
            model = Model.fromString(text);
            supplement(model);
            inputs = model.usedFields();
            classes = model.isClassification() ? model.classes() : new DataVal[0];
        } catch (Exception | StackOverflowError | scala.NotImplementedError wrong) {
            throw new Refused("PMML4S does not read it: " + told(wrong));
        }
        String function = String.valueOf(model.functionName());
        if (!model.isClassification() && !model.isRegression() && !model.isClustering())
            throw new Refused("functionName " + function + " is not served");
        if (model.multiTargets()) throw new Refused("it predicts several fields: " + Arrays.toString(model.targetNames()));
        for (Field field : inputs)
            if (!isNumber(field.dataType()) && !isText(field.dataType()))
                throw new Refused("field " + field.name() + " is " + field.dataType() + ", which is not served");
        main = model.isRegression() ? "prediction" : "label";
        DataType target = model.targetField() == null ? null : model.targetField().dataType();
        labels = target == null || isText(target) ? "BYTES" : target == IntegerType$.MODULE$ ? "INT64" : "FP64";
        int found = 0;
        for (OutputField field : model.outputFields()) {
            String feature = String.valueOf(field.feature());
            if (feature.equals("probability") && field.value().isDefined()) found++;
            else if (!feature.equals("predictedValue") && (isNumber(field.dataType()) || isText(field.dataType())))
                others.add(field);
        }
        shares = classes.length > 0 && found >= classes.length;
    }

    /** What it reads and gives, as members of a JSON object. */
    String described() {
        StringJoiner read = new StringJoiner(",", "[", "]");
        for (Field field : inputs) read.add(pair(field.name(), isText(field.dataType()) ? "BYTES" : "FP64"));
        StringJoiner gives = new StringJoiner(",", "[", "]");
        for (OutputField field : others) gives.add(pair(field.name(), isText(field.dataType()) ? "BYTES" : "FP64"));
        StringJoiner named = new StringJoiner(",", "[", "]");
        for (DataVal each : classes) named.add(Frames.quoted(String.valueOf(each.toVal())));
        String target = model.targetField() == null ? "" : model.targetName();
        return "\"inputs\":" + read + ",\"others\":" + gives + ",\"classes\":" + named + ",\"main\":\"" + main
            + "\",\"labels\":\"" + labels + "\",\"probabilities\":" + shares + ",\"target\":" + Frames.quoted(target);
    }

    /** The outputs of that names for all rows. Throws Refused for a row that it cannot compute, Late. */
    List<Frames.Column> predict(List<Frames.Column> given, List<String> outputs, Work work) throws Refused, Late {
        double[][] numbers = new double[inputs.length][];
        String[][] texts = new String[inputs.length][];
        int rows = -1;
        for (int i = 0; i < inputs.length; i++) {
            String name = inputs[i].name();
            Frames.Column column = given.stream().filter(c -> c.name().equals(name)).findFirst().orElse(null);
            if (column == null) throw new Refused("input " + name + " is missing");
            if (isText(inputs[i].dataType())) texts[i] = column.texts();
            else numbers[i] = column.numbers();
            int count = texts[i] == null ? numbers[i].length : texts[i].length;
            if (rows >= 0 && count != rows) throw new Refused("input " + name + " has " + count + " rows, others " + rows);
            rows = count;
        }
        Answers answers = new Answers(outputs, Math.max(rows, 0));
        StructType schema = model.usedSchema();
        for (int row = 0; row < rows; row++) {
            if (work.isLate()) throw new Late();
            DataVal[] values = new DataVal[inputs.length];
            for (int i = 0; i < inputs.length; i++)
                values[i] = texts[i] == null ? number(numbers[i][row], inputs[i], row) : text(texts[i][row], inputs[i], row);
            try {
                answers.put(row, model.predict(new GenericSeriesWithSchema(values, schema)));
            } catch (Exception | StackOverflowError | scala.NotImplementedError wrong) {
                throw new Refused("row " + row + ": " + told(wrong));
            }
        }
        return answers.columns();
    }

    /** Collects what is asked for; places of fields are looked up again when the rows' schema changes. */
    private final class Answers {
        private final List<String> names;
        private final int rows;
        private final Object[] buffers;
        private List<String> known;
        private int predicted;
        private int[] shared;
        private int[] other;

        Answers(List<String> names, int rows) throws Refused {
            this.names = names;
            this.rows = rows;
            buffers = new Object[names.size()];
            for (int i = 0; i < buffers.length; i++) {
                String datatype = datatype(names.get(i));
                int width = names.get(i).equals("probabilities") ? classes.length : 1;
                if (datatype.equals("BYTES")) buffers[i] = new String[rows];
                else buffers[i] = Frames.room(rows * width * (datatype.equals("BOOL") ? 1 : 8));
            }
        }

        void put(int row, Series answer) {
            look(answer.schema());
            DataVal value = at(answer, predicted);
            for (int i = 0; i < buffers.length; i++) {
                String name = names.get(i);
                if (name.equals("valid")) ((ByteBuffer) buffers[i]).put((byte) (isMissing(value) ? 0 : 1));
                else if (name.equals("probabilities"))
                    for (int place : shared) ((ByteBuffer) buffers[i]).putDouble(number(at(answer, place)));
                else if (name.equals(main)) one(i, row, value);
                else one(i, row, at(answer, other[i]));
            }
        }

        private void one(int i, int row, DataVal value) {
            if (buffers[i] instanceof String[] texts) texts[row] = isMissing(value) ? "" : String.valueOf(value.toVal());
            else if (datatypeOf(i).equals("INT64")) ((ByteBuffer) buffers[i]).putLong(isMissing(value) ? 0 : value.toLong());
            else ((ByteBuffer) buffers[i]).putDouble(number(value));
        }

        private String datatypeOf(int i) {
            return names.get(i).equals(main) && main.equals("label") ? labels : "FP64";
        }

        /** Segments may answer with fields of their own; a schema is made anew for every row. */
        private void look(StructType schema) {
            if (known != null && isKnown(schema.fields())) return;
            known = Arrays.stream(schema.fields()).map(StructField::name).toList();
            predicted = -1;
            shared = new int[classes.length];
            Arrays.fill(shared, -1);
            for (OutputField field : model.outputFields()) {
                String feature = String.valueOf(field.feature());
                if (feature.equals("predictedValue") && predicted < 0) predicted = known.indexOf(field.name());
                if (feature.equals("probability") && field.value().isDefined())
                    for (int c = 0; c < classes.length; c++)
                        if (classes[c].equals(field.value().get())) shared[c] = known.indexOf(field.name());
            }
            other = names.stream().mapToInt(known::indexOf).toArray();
        }

        private boolean isKnown(StructField[] fields) {
            if (fields.length != known.size()) return false;
            for (int i = 0; i < fields.length; i++) if (!fields[i].name().equals(known.get(i))) return false;
            return true;
        }

        List<Frames.Column> columns() throws Refused {
            List<Frames.Column> found = new ArrayList<>();
            for (int i = 0; i < buffers.length; i++) {
                String name = names.get(i);
                int[] shape = name.equals("label") || name.equals("valid") ? new int[] {rows}
                    : new int[] {rows, name.equals("probabilities") ? classes.length : 1};
                if (buffers[i] instanceof String[] texts) found.add(Frames.Column.of(name, texts, shape));
                else found.add(Frames.Column.of(name, datatype(name), ((ByteBuffer) buffers[i]).flip(), shape));
            }
            return found;
        }
    }

    private String datatype(String output) throws Refused {
        if (output.equals("valid")) return "BOOL";
        if (output.equals("probabilities") && shares) return "FP64";
        if (output.equals(main)) return main.equals("label") ? labels : "FP64";
        for (OutputField field : others)
            if (field.name().equals(output)) return isText(field.dataType()) ? "BYTES" : "FP64";
        throw new Refused("it gives no " + output);
    }

    /** Output fields that a document may leave out, at the top and where they are really made. */
    private static void supplement(Model model) {
        model.setSupplementOutput(true);
        if (model instanceof MiningModel mining && mining.segmentation().isDefined()) {
            String how = String.valueOf(mining.segmentation().get().multipleModelMethod());
            Segment[] segments = mining.segmentation().get().segments();
            if (how.equals("selectFirst")) for (Segment each : segments) supplement(each.model());
            if (how.equals("modelChain") && segments.length > 0) supplement(segments[segments.length - 1].model());
        }
    }

    private static DataVal number(double value, Field field, int row) throws Refused {
        if (Double.isNaN(value)) return null;
        if (field.dataType() == FloatType$.MODULE$) {
            if (Float.isInfinite((float) value) && !Double.isInfinite(value))
                throw new Refused("row " + row + ": " + field.name() + " is float, for which " + value + " is too large");
            // As 32 bits, but so that 0.1 still equals the 0.1 of the document, which PMML4S keeps in 64.
            return new DoubleVal(Double.parseDouble(Float.toString((float) value)));
        }
        if (field.dataType() != IntegerType$.MODULE$) return new DoubleVal(value);
        if (value != Math.rint(value) || Math.abs(value) > 1L << 53)
            throw new Refused("row " + row + ": " + field.name() + " is integer, which " + value + " is not");
        return new LongVal((long) value);
    }

    /** An empty text is a missing one, unless the document lists it. */
    private static DataVal text(String value, Field field, int row) throws Refused {
        if (field.dataType() == StringType$.MODULE$) {
            DataVal text = new StringVal(value);
            return value.isEmpty() && !Arrays.asList(field.validValues()).contains(text) ? null : text;
        }
        return switch (value) {
            case "" -> null;
            case "true", "1" -> new BoolVal(true);
            case "false", "0" -> new BoolVal(false);
            default -> throw new Refused("row " + row + ": " + field.name() + " is boolean, say true or false");
        };
    }

    private static boolean isNumber(DataType type) {
        return type == DoubleType$.MODULE$ || type == FloatType$.MODULE$ || type == IntegerType$.MODULE$
            || type == RealType$.MODULE$;
    }

    private static boolean isText(DataType type) {
        return type == StringType$.MODULE$ || type == BooleanType$.MODULE$;
    }

    private static boolean isMissing(DataVal value) {
        return value == null || value.isMissing();
    }

    private static double number(DataVal value) {
        return isMissing(value) ? Double.NaN : value.toDouble();
    }

    private static DataVal at(Series answer, int place) {
        return place < 0 || place >= answer.length() ? null : answer.get(place);
    }

    private static String pair(String name, String datatype) {
        return "[" + Frames.quoted(name) + ",\"" + datatype + "\"]";
    }

    private static String told(Throwable wrong) {
        String text = wrong.getMessage();
        return wrong.getClass().getSimpleName() + (text == null ? "" : ": " + text.lines().findFirst().orElse(""));
    }
}
