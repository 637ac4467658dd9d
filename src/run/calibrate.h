/* What strengths are chosen by, for one method alone (calibrate.c) and for several beside each other
 * (comparison_tuning.c). */
#ifndef EQ_RUN_CALIBRATE_H
#define EQ_RUN_CALIBRATE_H

#include "run/pipeline.h"

/* L2 distance between the shares of images by their most probable class and p [classes], by the predictor's view at the
 * last step. */
double eq_calibration_distance(const eq_generation *generation, int adp, int classes, const double *p);

/* Root mean square difference of the pixels of two sets of one size, in units where black to white is 2. */
double eq_calibration_drift(const eq_generation *a, const eq_generation *b);

/* What is to be least: a drift of 1 is worth an FD of 0.3. */
double eq_calibration_cost(double distance, double drift);

#endif
