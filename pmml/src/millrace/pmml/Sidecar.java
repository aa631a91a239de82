package millrace.pmml;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.Channel;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Computes PMML documents for the prediction servers of a host, on a Unix socket that it inherits as standard input.
 *
 * A connection is for one document, which its first message names by sha256; a document that is not here is asked for.
 * It is held as long as a connection is for it. Without connections this process ends, and comes back when one does.
 */
public final class Sidecar {
    private static final int PROTOCOL = 1;
    private static final int MOST_CONNECTIONS = 1000;

    private final Documents documents = new Documents();
    private final AtomicInteger connections = new AtomicInteger();
    private volatile long idleSince = System.nanoTime();

    private Sidecar() {}

    public static void main(String[] words) throws IOException {
        Channel inherited = System.inheritedChannel();
        if (!(inherited instanceof ServerSocketChannel server)) {
            System.err.println("standard input must be a listening Unix socket");
            System.exit(2);
            return;
        }
        Work.watch(Double.parseDouble(System.getProperty("millrace.grace", "2")));
        new Sidecar().serve(server, Double.parseDouble(System.getProperty("millrace.idle", "10")));
    }

    private void serve(ServerSocketChannel server, double idleSeconds) throws IOException {
        Thread idle = new Thread(() -> endWhenIdle(idleSeconds), "idle");
        idle.setDaemon(true);
        idle.start();
        server.configureBlocking(true);
        while (true) {
            SocketChannel channel = server.accept();
            if (connections.incrementAndGet() > MOST_CONNECTIONS) {
                leave(channel);
                continue;
            }
            Thread thread = new Thread(() -> {
                try {
                    talk(new Frames(channel));
                } catch (IOException gone) {
                    // The other end has closed, as it does when it waits no longer.
                } finally {
                    leave(channel);
                }
            }, "connection");
            thread.setDaemon(true);
            thread.start();
        }
    }

    private void leave(SocketChannel channel) {
        try {
            channel.close();
        } catch (IOException gone) {
            // Then it is closed.
        }
        idleSince = System.nanoTime();
        connections.decrementAndGet();
    }

    private void endWhenIdle(double seconds) {
        while (connections.get() > 0 || System.nanoTime() - idleSince < seconds * 1e9) {
            try {
                Thread.sleep(200);
            } catch (InterruptedException ended) {
                return;
            }
        }
        System.exit(0);
    }

    private void talk(Frames frames) throws IOException {
        try {
            Frames.Message first = frames.receive();
            if (first == null) return;
            if (first.number("protocol") != PROTOCOL) throw new Refused("this PMML4S sidecar speaks protocol " + PROTOCOL);
            String digest = first.text("document");
            try (Documents.Held held = documents.hold(digest, () -> wanted(frames))) {
                frames.send("\"ready\":true," + held.document().described(), List.of());
                for (Frames.Message asked; (asked = frames.receive()) != null;) answer(frames, digest, held.document(), asked);
            }
        } catch (Refused wrong) {
            frames.send("\"refused\":" + Frames.quoted(wrong.getMessage()), List.of());
        }
    }

    /** The document from the other end, which is told how many bytes it may have. */
    private static ByteBuffer wanted(Frames frames) throws IOException, Refused {
        frames.send("\"wanted\":" + Frames.MOST_BYTES, List.of());
        Frames.Message second = frames.receive();
        if (second == null || second.arrays().isEmpty()) throw new Refused("no document came");
        return second.arrays().get(0).content();
    }

    private static void answer(Frames frames, String digest, Document document, Frames.Message asked)
            throws IOException, Refused {
        List<Frames.Column> found;
        try (Work work = new Work(digest, asked.number("seconds"))) {
            found = document.predict(asked.arrays(), asked.texts("outputs"), work);
        } catch (Late late) {
            frames.send("\"late\":true", List.of());
            return;
        } catch (Refused wrong) {
            frames.send("\"error\":" + Frames.quoted(wrong.getMessage()), List.of());
            return;
        }
        frames.send("\"ok\":true", found);
    }
}
