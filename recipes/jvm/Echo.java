import java.nio.charset.StandardCharsets;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * The echo server in a program of the JVM: a thread of its own waits for the service in poll(2), and is where handlers are called. Other
 * threads reach it by {@link #publish}, which ends the wait.
 */
public final class Echo {
    static {
        System.loadLibrary("lwx_recipe");
    }

    /** Handle of the service and what belongs to it. */
    private final long handle;

    private Echo(String address) {
        handle = open(address);
    }

    /** A message of a WebSocket; what is returned is sent back. Called on the thread of {@link #serve}. */
    private byte[] onMessage(byte[] message, boolean text) {
        return text ? new String(message, StandardCharsets.UTF_8).getBytes(StandardCharsets.UTF_8) : message;
    }

    private native long open(String address);

    /** Serves until the service has ended; on the thread that made it. */
    private native void serve(long handle);

    /** Sends to all WebSockets. From any thread, until {@link #serve} has returned. */
    private native void publish(long handle, byte[] text);

    private native void close(long handle);

    public static void main(String[] arguments) throws InterruptedException {
        AtomicInteger ticks = new AtomicInteger();
        ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor();
        timer.scheduleAtFixedRate(ticks::incrementAndGet, 10, 10, TimeUnit.MILLISECONDS);
        // The service belongs to the thread that makes it, and the virtual machine must not be asked to collect while that sleeps: a thread
        // in a native call does not hold it up.
        Thread serving = new Thread(() -> {
            Echo echo = new Echo(arguments.length > 0 ? arguments[0] : "127.0.0.1:7681");
            byte[] news = "news of another thread".getBytes(StandardCharsets.UTF_8);
            var publishing = timer.scheduleAtFixedRate(() -> echo.publish(echo.handle, news), 50, 50, TimeUnit.MILLISECONDS);
            echo.serve(echo.handle);
            publishing.cancel(false);
            timer.shutdown();
            try {
                timer.awaitTermination(1, TimeUnit.SECONDS);
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
            }
            echo.close(echo.handle);
        }, "lwx");
        serving.start();
        serving.join();
        System.out.println("ticks " + ticks);
    }
}
