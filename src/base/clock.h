/* Time for measuring. */
#ifndef EQ_BASE_CLOCK_H
#define EQ_BASE_CLOCK_H

/* Seconds since some fixed moment, never going back. */
double eq_seconds(void);

#endif
