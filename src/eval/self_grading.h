/* Self-grading: an evaluator that had a part in what it grades. All reports mark it alike. */
#ifndef EQ_EVAL_SELF_GRADING_H
#define EQ_EVAL_SELF_GRADING_H

#include <jansson.h>

#include "eval/html.h"

/* What the evaluator's weights did besides grading. */
typedef struct eq_self_grading {
    bool labelled; /* for the predictors that guided */
    bool guided;   /* by its gradient */
    bool chose;    /* the images: by rejection or verification */
} eq_self_grading;

bool eq_self_grading_is_any(eq_self_grading parts);

/* ["labelled", "guided", "chose"], those that are so; NULL when memory is out. */
json_t *eq_self_grading_json(eq_self_grading parts);

/* The mark in red, from such an array; nothing where it is empty, NULL or something else. */
void eq_html_self_grading(eq_html *html, const json_t *parts);

#endif
