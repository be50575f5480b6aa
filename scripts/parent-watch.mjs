const CHECK_MS = 500;

/**
 * Stops this process, as SIGTERM does, once the npm that started it is gone: npm passes SIGINT and SIGTERM on, but it cannot pass on the
 * SIGKILL that ends it, and a server nobody sees would keep the port and the database.
 *
 * Only under npm. Elsewhere (systemd, a container, `nohup node …`) a parent may end without meaning anything by it. The scripts in
 * package.json begin with `exec`, so that npm itself is the parent and not a shell between the two.
 */
export function stopWithNpm() {
  const parent = process.ppid;
  if (process.env.npm_lifecycle_event === undefined || parent <= 1) {
    return;
  }
  const timer = setInterval(() => {
    if (process.ppid !== parent) {
      clearInterval(timer);
      process.kill(process.pid, 'SIGTERM');
    }
  }, CHECK_MS);
  timer.unref();
}
