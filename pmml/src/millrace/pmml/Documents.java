package millrace.pmml;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** The documents that connections are for: each is brought and read once, and held as long as one is for it. */
final class Documents {
    /** As long as a server waits for a document to be read. */
    private static final int READ_SECONDS = 60;

    /** Whoever is connected for a document brings it. */
    interface Bringer {
        ByteBuffer bring() throws IOException, Refused;
    }

    /** A document for one connection: in it once it was brought, Refused, or null when who was to bring it did not. */
    final class Held implements AutoCloseable {
        private final String digest;
        private final CompletableFuture<Document> document = new CompletableFuture<>();
        private int connections;

        private Held(String digest) {
            this.digest = digest;
        }

        Document document() {
            return document.join();
        }

        /** For one connection; with the last one it is let go of. */
        @Override
        public void close() {
            synchronized (held) {
                if (--connections == 0) held.remove(digest, this);
            }
        }
    }

    private final Map<String, Held> held = new HashMap<>();

    /** The document of a sha256, which is brought unless it is here or another connection brings it. Close it. */
    Held hold(String digest, Bringer bringer) throws IOException, Refused {
        while (true) {
            Held found;
            boolean isFirst;
            synchronized (held) {
                isFirst = !held.containsKey(digest);
                found = held.computeIfAbsent(digest, Held::new);
                found.connections++;
            }
            boolean isThere = false;
            try {
                if (isFirst) load(found, bringer);
                isThere = isFirst || found.document.get(READ_SECONDS, TimeUnit.SECONDS) != null;
                if (isThere) return found;
            } catch (ExecutionException wrong) {
                throw (Refused) wrong.getCause();
            } catch (TimeoutException stuck) {
                // The next connection brings it instead.
                forget(found);
            } catch (InterruptedException ended) {
                throw new InterruptedIOException();
            } finally {
                if (!isThere) found.close();
            }
        }
    }

    /** Whoever waits for it is told what is wrong with the document; what is wrong with who brings it is his alone. */
    private void load(Held loading, Bringer bringer) throws IOException, Refused {
        try {
            String text = text(loading.digest, bringer.bring());
            try (Work work = new Work(loading.digest, READ_SECONDS)) {
                loading.document.complete(new Document(text));
            } catch (Refused wrong) {
                forget(loading);
                loading.document.completeExceptionally(wrong);
                throw wrong;
            }
        } finally {
            if (!loading.document.isDone()) {
                forget(loading);
                loading.document.complete(null);
            }
        }
    }

    /** Who comes next finds none. */
    private void forget(Held leaving) {
        synchronized (held) {
            held.remove(leaving.digest, leaving);
        }
    }

    private static String text(String digest, ByteBuffer content) throws Refused {
        try {
            MessageDigest sha256 = MessageDigest.getInstance("SHA-256");
            sha256.update(content.duplicate());
            String found = HexFormat.of().formatHex(sha256.digest());
            if (!found.equals(digest)) throw new Refused("the document that came is " + found);
            return Frames.text(content);
        } catch (NoSuchAlgorithmException never) {
            throw new IllegalStateException(never);
        }
    }
}
