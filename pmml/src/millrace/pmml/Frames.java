package millrace.pmml;

import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.SocketChannel;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import scala.jdk.javaapi.CollectionConverters;
import spray.json.JsArray;
import spray.json.JsNumber;
import spray.json.JsObject;
import spray.json.JsString;
import spray.json.JsValue;

/** Messages as millrace_process/frames.py writes them: a head of JSON, then the bytes of its arrays. */
final class Frames {
    private static final int HEAD_BYTES = 12;
    private static final int MOST_JSON = 1 << 20;
    /** Java reads and writes by a buffer of its own beside the heap, which is as large as what it is given. */
    private static final int PART_BYTES = 1 << 16;
    /** Of the arrays of a message, and so of a document: its text takes as much again, and what is read of it. */
    static final int MOST_BYTES = (int) Math.min(Runtime.getRuntime().maxMemory() / 4, 1 << 30);

    /** An array: its values row by row, little-endian; text as lengths, then UTF-8. */
    record Column(String name, String datatype, int[] shape, ByteBuffer content) {
        int values() throws Refused {
            long count = 1;
            for (int size : shape) {
                count *= size;
                if (size < 0 || count > MOST_BYTES) throw new Refused("array " + name + " has a wrong shape");
            }
            return (int) count;
        }

        double[] numbers() throws Refused {
            double[] found = new double[values()];
            if (!datatype.equals("FP64") || content.remaining() != 8L * found.length)
                throw new Refused("array " + name + " is no FP64 of its shape");
            content.duplicate().order(ByteOrder.LITTLE_ENDIAN).asDoubleBuffer().get(found);
            return found;
        }

        String[] texts() throws Refused {
            String[] found = new String[values()];
            ByteBuffer lengths = content.duplicate().order(ByteOrder.LITTLE_ENDIAN);
            if (!datatype.equals("BYTES") || lengths.remaining() < 4L * found.length)
                throw new Refused("array " + name + " is no BYTES of its shape");
            ByteBuffer texts = lengths.duplicate();
            texts.position(lengths.position() + 4 * found.length);
            for (int i = 0; i < found.length; i++) {
                int length = lengths.getInt();
                if (length < 0 || length > texts.remaining()) throw new Refused("array " + name + " is too short");
                byte[] text = new byte[length];
                texts.get(text);
                found[i] = new String(text, StandardCharsets.UTF_8);
            }
            return found;
        }

        static Column of(String name, String datatype, ByteBuffer content, int... shape) {
            return new Column(name, datatype, shape, content);
        }

        static Column of(String name, String[] texts, int... shape) {
            byte[][] bytes = new byte[texts.length][];
            int total = 4 * texts.length;
            for (int i = 0; i < texts.length; i++) {
                bytes[i] = texts[i].getBytes(StandardCharsets.UTF_8);
                total += bytes[i].length;
            }
            ByteBuffer content = room(total);
            for (byte[] each : bytes) content.putInt(each.length);
            for (byte[] each : bytes) content.put(each);
            return new Column(name, "BYTES", shape, content.flip());
        }
    }

    /** A message that came. */
    record Message(JsObject head, List<Column> arrays) {
        String text(String key) throws Refused {
            if (value(key) instanceof JsString found) return found.value();
            throw new Refused("a message has no text " + key);
        }

        double number(String key) throws Refused {
            if (value(key) instanceof JsNumber found) return found.value().doubleValue();
            throw new Refused("a message has no number " + key);
        }

        List<String> texts(String key) throws Refused {
            List<String> found = new ArrayList<>();
            for (JsValue each : elements(value(key))) {
                if (!(each instanceof JsString text)) throw new Refused(key + " holds no text");
                found.add(text.value());
            }
            return found;
        }

        private JsValue value(String key) {
            return CollectionConverters.asJava(head.fields()).get(key);
        }
    }

    private final SocketChannel channel;

    Frames(SocketChannel channel) {
        this.channel = channel;
    }

    /** The next message; null when the other end is gone. */
    Message receive() throws IOException, Refused {
        ByteBuffer sizes = room(HEAD_BYTES);
        if (!fill(sizes)) return null;
        long head = Integer.toUnsignedLong(sizes.getInt());
        long body = sizes.getLong();
        if (head > MOST_JSON || body < 0 || body > MOST_BYTES)
            throw new IOException("a message of " + head + " and " + body + " bytes is too large");
        ByteBuffer content = room((int) (head + body));
        if (!fill(content)) throw new EOFException();
        try {
            String json = StandardCharsets.UTF_8.newDecoder().decode(content.slice(0, (int) head)).toString();
            JsObject object = (JsObject) spray.json.JsonParser.apply(spray.json.ParserInput$.MODULE$.apply(json));
            return new Message(object, arrays(object, content, (int) head));
        } catch (CharacterCodingException | RuntimeException wrong) {
            throw new Refused("a message cannot be read: " + wrong);
        }
    }

    /** Sends a head, the members of a JSON object, and arrays. */
    void send(String members, List<Column> arrays) throws IOException {
        StringBuilder described = new StringBuilder();
        int body = 0;
        for (Column each : arrays) {
            if (described.length() > 0) described.append(',');
            described.append('[').append(quoted(each.name())).append(",\"").append(each.datatype()).append("\",[");
            for (int i = 0; i < each.shape().length; i++) described.append(i > 0 ? "," : "").append(each.shape()[i]);
            described.append("],").append(each.content().remaining()).append(']');
            body += each.content().remaining();
        }
        byte[] head = ("{" + members + ",\"arrays\":[" + described + "]}").getBytes(StandardCharsets.UTF_8);
        ByteBuffer out = room(HEAD_BYTES + head.length + body);
        out.putInt(head.length).putLong(body).put(head);
        for (Column each : arrays) out.put(each.content().duplicate());
        out.flip();
        while (out.hasRemaining()) out.position(out.position() + channel.write(part(out)));
    }

    static String quoted(String text) {
        return new JsString(text).compactPrint();
    }

    static ByteBuffer room(int bytes) {
        return ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    static String text(ByteBuffer content) {
        int start = content.arrayOffset() + content.position();
        return new String(content.array(), start, content.remaining(), StandardCharsets.UTF_8);
    }

    private static List<Column> arrays(JsObject head, ByteBuffer content, int place) {
        List<Column> found = new ArrayList<>();
        for (JsValue each : elements(CollectionConverters.asJava(head.fields()).get("arrays"))) {
            List<JsValue> parts = elements(each);
            List<JsValue> sizes = elements(parts.get(2));
            int[] shape = new int[sizes.size()];
            for (int i = 0; i < shape.length; i++) shape[i] = whole(sizes.get(i));
            int bytes = whole(parts.get(3));
            String name = ((JsString) parts.get(0)).value();
            found.add(new Column(name, ((JsString) parts.get(1)).value(), shape, content.slice(place, bytes)));
            place += bytes;
        }
        return found;
    }

    private static List<JsValue> elements(JsValue value) {
        return CollectionConverters.asJava(((JsArray) value).elements());
    }

    private static int whole(JsValue value) {
        return ((JsNumber) value).value().toIntExact();
    }

    private static ByteBuffer part(ByteBuffer whole) {
        return whole.slice(whole.position(), Math.min(whole.remaining(), PART_BYTES));
    }

    /** False when the other end was gone before the first byte. */
    private boolean fill(ByteBuffer buffer) throws IOException {
        while (buffer.hasRemaining()) {
            int count = channel.read(part(buffer));
            if (count >= 0) buffer.position(buffer.position() + count);
            else if (buffer.position() == 0) return false;
            else throw new EOFException();
        }
        buffer.flip();
        return true;
    }
}
