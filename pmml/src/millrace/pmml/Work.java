package millrace.pmml;

import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/** Something that somebody waits for until its deadline. */
final class Work implements AutoCloseable {
    private static final Set<Work> RUNNING = ConcurrentHashMap.newKeySet();
    private final String document;
    private final long end;

    Work(String document, double seconds) {
        this.document = document;
        end = System.nanoTime() + (long) (Math.min(seconds, 3600) * 1e9);
        RUNNING.add(this);
    }

    boolean isLate() {
        return System.nanoTime() - end > 0;
    }

    @Override
    public void close() {
        RUNNING.remove(this);
    }

    /** A row that does not end can only be ended with this process: whoever started it starts it again. */
    static void watch(double graceSeconds) {
        Thread watch = new Thread(() -> {
            while (true) {
                for (Work each : RUNNING) {
                    if (System.nanoTime() - each.end < graceSeconds * 1e9) continue;
                    System.err.println("what " + each.document + " was asked does not end: this process does");
                    Runtime.getRuntime().halt(3);
                }
                try {
                    Thread.sleep(100);
                } catch (InterruptedException ended) {
                    return;
                }
            }
        }, "watch");
        watch.setDaemon(true);
        watch.start();
    }
}
