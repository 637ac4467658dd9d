/* How the tool's threads wait for each other. */
#ifndef EQUIPOISE_TOOL_THREADS_H
#define EQUIPOISE_TOOL_THREADS_H

/* OpenMP's threads spin for about a millisecond at each barrier before they sleep. On a machine with other work that
 * is time taken from the thread waited for: small networks, with thousands of barriers a second, became ten times
 * slower. This shortens the spinning to some microseconds, which loses nothing on an idle machine, unless the
 * environment has settings of its own. They are read when the library is loaded, so the program starts itself anew,
 * and this does not return; it returns where there is nothing to do or the system has no way. To be called first.
 * argv: main's. */
void eq_threads_wait_briefly(char **argv);

#endif
