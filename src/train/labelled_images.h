/* Images with labels: what a classifier learns from. */
#ifndef EQ_TRAIN_LABELLED_IMAGES_H
#define EQ_TRAIN_LABELLED_IMAGES_H

#include "io/labels.h"
#include "models/classifier.h"
#include "train/dataset.h"

/* A further folder with its table of labels. */
typedef struct eq_labelled_folder {
    const char *name;   /* goes before its images' names, to keep those of several folders apart */
    const char *images; /* folder */
    const char *labels; /* CSV or JSON lines */
} eq_labelled_folder;

typedef struct eq_labelled_source {
    const char *images;            /* folder */
    const char *labels;            /* CSV or JSON lines */
    int size;                      /* pixels a side that images are cropped and scaled to */
    bool strict;                   /* an unreadable image is an error; else it is skipped with a warning */
    const char *const *attributes; /* [attribute_count] the columns wanted; none: all */
    int attribute_count;
    bool balance;                    /* see eq_labelled_images.weight */
    const eq_labelled_folder *added; /* [added_count] come after the others; their classes are the first table's */
    int added_count;
} eq_labelled_source;

/* All of it is owned; freed by eq_labelled_images_close. */
typedef struct eq_labelled_images {
    eq_dataset data;
    int attribute_count;
    eq_attribute attributes[EQ_CLASSIFIER_MAX_ATTRIBUTES];
    int *classes; /* [data.count, attribute_count] -1: not known */
    bool *listed; /* [data.count] whether the table has the image at all */
    /* [data.count] how often to see each image: 1, or balanced by the rarest of its classes, 1 / (the class's share x
     * number of classes), from 1 to 10. */
    float *weight;
} eq_labelled_images;

/* EQ_BAD_INPUT: unreadable labels, none for any image, an attribute with a single class; an added table without one of
 * the attributes, or with a class that the first does not know. EQ_BAD_USAGE: an attribute that the labels do not have
 * or that is named twice, more than EQ_CLASSIFIER_MAX_ATTRIBUTES. */
eq_status eq_labelled_images_open(eq_context *ctx, const eq_labelled_source *source, eq_labelled_images *out);
void eq_labelled_images_close(eq_labelled_images *images);

/* A view of attribute 0..attribute_count - 1. */
const eq_attribute *eq_labelled_attribute(const eq_labelled_images *images, int attribute);
/* The class that an image shows, -1 if that is not known. */
int eq_labelled_class(const eq_labelled_images *images, int64_t image, int attribute);

/* A number in [0, 1) from the seed and the image's name: which part of the set it belongs to, however many others there
 * are. */
double eq_labelled_place(const eq_labelled_images *images, uint64_t seed, int64_t image);

#endif
