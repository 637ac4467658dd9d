/* Inside of the public pipeline. */
#ifndef EQ_RUN_PIPELINE_H
#define EQ_RUN_PIPELINE_H

#include "diffusion/model.h"
#include "equipoise/generate.h"
#include "guidance/guidance.h"
#include "run/encoded.h"
#include "run/networks.h"

struct eq_pipeline {
    eq_context *ctx;
    eq_model model;
    eq_networks networks;
    eq_encoded *encoded; /* the texts encoded last; NULL: none */
    int adp_count;
    eq_adp adps[EQ_MAX_ADPS];
    char *adp_paths[EQ_MAX_ADPS];
    eq_attribute attributes[EQ_MAX_ADPS]; /* views of the predictors' */
};

#endif
