/* The directions in h along which classes differ, made fit for guidance. */
#ifndef EQ_TRAIN_CLASS_DIRECTIONS_H
#define EQ_TRAIN_CLASS_DIRECTIONS_H

#include "guidance/adp.h"

/* adp: trained, by ascending timesteps, with the means of h in its directions and its accuracies known. Where noise
 * hides the classes, means of h say little: a head that is nearer to guessing than to certainty takes the direction of
 * the next cleaner timestep, to which directions are alike. And noise draws the means together, though an image has as
 * far to go: all directions get the length of the longest. */
void eq_class_directions_clean(eq_adp *adp);

#endif
