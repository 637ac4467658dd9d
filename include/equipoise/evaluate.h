/* Measuring how a set of images is distributed: counts, distances to a target, and how sure they are. */
#ifndef EQUIPOISE_EVALUATE_H
#define EQUIPOISE_EVALUATE_H

#include <stdbool.h>
#include <stdint.h>

#include "equipoise/target.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A value and its 95% confidence interval. */
typedef struct eq_estimate {
    double value, low, high;
} eq_estimate;

/* The FD of n images drawn independently from the target itself: its mean and 95th percentile. */
typedef struct eq_noise_floor {
    double mean, p95;
    bool exact; /* by summing over all outcomes; else by 10,000 random draws */
} eq_noise_floor;

/* FD (the L2 norm of frequencies minus target), KL divergence in nats, total variation, chi-square divergence (sum of
 * squared differences over the target: Pearson's statistic per image) and deviation ratio (the largest difference over
 * the largest possible one), with percentile bootstrap intervals (Efron and Tibshirani, 1993, chapter 13; 2,000
 * multinomial resamples of the counts). Near the target the distances of resamples lie above the distance itself: such
 * an interval is to be read beside the noise floor. KL and chi-square may be infinite. */
typedef struct eq_distances {
    eq_estimate fd, kl, tv, chi2, deviation;
} eq_distances;

/* How near a set, or a class of it, is to the same of a reference, in some network's features. NaN where there are too
 * few images to tell. */
typedef struct eq_similarity {
    int n, reference_n;
    double frechet;      /* Frechet distance; biased upward, the more the fewer images */
    double kid, kid_std; /* kernel distance, unbiased, may be below 0; standard deviation over subsets */
    int kid_subset;      /* images of each side in a subset */
} eq_similarity;

typedef struct eq_reference_evaluation {
    char *features;  /* whose features, e.g. "evaluator" */
    char *reference; /* the set compared with */
    int dimension;   /* numbers in a feature vector */
    eq_similarity whole;
    eq_estimate precision; /* share of the images that the reference's manifold covers: quality; NaN: too few */
    eq_estimate recall;    /* share of the reference that the images' manifold covers: diversity; NaN: too few */
} eq_reference_evaluation;

/* How far images moved from their twins: those of the same seed and index in another run. */
typedef struct eq_drift {
    char *twin; /* the other run's folder */
    int pairs;
    eq_estimate identical; /* share of pairs that are equal to the last pixel; Wilson interval */
    eq_estimate psnr;      /* dB, of the mean squared error over all pairs; infinite if all are identical */
    /* With a classifier; else features is NULL. */
    char *features;
    eq_estimate feature_distance; /* mean Euclidean distance within pairs */
    double unrelated;             /* the same between each image and another one's twin; NaN for a single pair */
} eq_drift;

/* How well images show what their prompts say, according to CLIP: 100 times the cosine between image and prompt, or 0
 * where that is negative, on average. */
typedef struct eq_clip_evaluation {
    char *clip; /* the model's folder */
    int n;      /* images with a prompt */
    eq_estimate score;
} eq_clip_evaluation;

typedef struct eq_attribute_evaluation {
    eq_attribute attribute; /* owned copy */
    int *counts;            /* [classes] images whose most probable class it is */
    eq_estimate *frequency; /* [classes] counts / n, Wilson intervals */
    double *soft;           /* [classes] mean probabilities */
    eq_estimate ambiguity;  /* share of images whose top probability is below 0.9; Wilson interval */
    /* With a target of its own, or as part of a joint one (then its marginal); else target is NULL. */
    double *target;         /* [classes] */
    eq_distances distances; /* of frequency to target */
    eq_estimate fd_soft;    /* FD of soft; 2,000 bootstrap resamples of the images */
    eq_noise_floor noise;   /* FD that n draws from the target would have */
    double chi2_p;
    /* With a confusion matrix; else NULL. */
    double *confusion; /* [classes, classes] owned copy */
    /* With a confusion matrix that allows it; else corrected is NULL. */
    eq_estimate *corrected;   /* [classes] */
    eq_estimate corrected_fd; /* with a target */
    /* With a reference; else NULL. */
    eq_similarity *similarity; /* [classes] */
} eq_attribute_evaluation;

typedef struct eq_joint_evaluation {
    eq_target target;       /* owned copy, in the evaluator's classes */
    int *counts;            /* [target.cells] */
    eq_estimate *frequency; /* [target.cells] */
    eq_estimate l2;         /* FD over the cells */
    eq_noise_floor noise;
} eq_joint_evaluation;

/* What was measured. The arrays belong to it; freed by eq_evaluation_free. */
typedef struct eq_evaluation {
    int n;
    char *evaluator;
    int attribute_count;
    eq_attribute_evaluation *attributes;
    int joint_count;
    eq_joint_evaluation *joint;
    eq_reference_evaluation *reference; /* NULL: none */
    eq_drift *drift;                    /* NULL: none */
    eq_clip_evaluation *clip;           /* NULL: none */
} eq_evaluation;

/* Images of `folder` labelled so far, of all of them; called from the calling thread. */
typedef void (*eq_evaluate_progress)(void *user, const char *folder, int64_t done, int64_t total);

/* Either labels or classifier is given. Zeros and NULLs mean the default in brackets. */
typedef struct eq_evaluate_options {
    const char *images;     /* folder of PNG, JPEG and WebP images at any depth */
    const char *labels;     /* table of what they show: CSV or JSON lines with "file_name" and a column an attribute */
    const char *classifier; /* classifier folder to label them with */
    const char *reference;  /* folder of images to compare with, in the features of Inception-v3 where that is given,
                               else the classifier's [none] */
    const char *inception;  /* state dictionary of the network that Frechet inception distances are taken in, as
                               pytorch-fid has it [none] */
    const char *clip;       /* folder of CLIP, to score the images by their run's prompts [none] */
    const char *twin;       /* run folder, or the images within, to measure the drift from: both runs need their
                               manifest.jsonl [none] */
    const char *const *attributes; /* [attribute_count] "gender", or for labels "gender=female,male" to count classes
                                      that no image shows, too [all there are] */
    int attribute_count;
    const char *const *targets; /* [target_count] in the form of the command line, see eq_target_parse */
    int target_count;
    const char *const *target_files; /* [target_file_count] see eq_targets_read */
    int target_file_count;
    eq_evaluate_progress progress; /* of labelling by a classifier */
    void *progress_user;
} eq_evaluate_options;

/* Grades the images of a folder. Images without a label in some attribute are left out, with a warning in the log; so
 * are images that cannot be read, where a classifier labels. EQ_BAD_USAGE: options that do not go together, unknown
 * attributes, malformed targets. EQ_BAD_INPUT: a file or folder that is missing or damaged. */
EQ_API eq_status eq_evaluate_folder(eq_context *ctx, const eq_evaluate_options *options, eq_evaluation *out);
EQ_API void eq_evaluation_free(eq_evaluation *evaluation);

/* A compact table for people; malloc'ed, the caller frees it. */
EQ_API eq_status eq_evaluation_format(eq_context *ctx, const eq_evaluation *evaluation, char **text);

/* What `equipoise evaluate --json` prints (see doc/formats.md); malloc'ed, the caller frees it. */
EQ_API eq_status eq_evaluation_format_json(eq_context *ctx, const eq_evaluation *evaluation, char **text);

#ifdef __cplusplus
}
#endif
#endif
