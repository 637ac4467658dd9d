/* The parameters of a network, by name: declared by its description, then loaded from a file or initialised. */
#ifndef EQ_TENSOR_PARAMS_H
#define EQ_TENSOR_PARAMS_H

#include "tensor/graph.h"

/* How a fresh parameter starts. */
typedef enum eq_init {
    EQ_INIT_UNIFORM, /* U(-1/sqrt(fan_in), 1/sqrt(fan_in)), PyTorch's default for convolutions and linears */
    EQ_INIT_NORMAL,  /* N(0, 0.02^2): embedding tables */
    EQ_INIT_ZEROS,
    EQ_INIT_ONES,
} eq_init;

typedef struct eq_param {
    char *name;
    eq_tensor tensor; /* data: NULL until loaded or allocated */
    eq_init init;
    int64_t fan_in; /* for EQ_INIT_UNIFORM */
    void *owned;    /* what tensor.data points at where it is neither a file's nor in the list's storage */
} eq_param;

/* A network's description runs twice over the same code: once with `declaring` set, when every request adds a
 * parameter; then to build graphs, when every request must find one. */
typedef struct eq_params {
    eq_context *ctx;
    eq_param *items; /* owned, in order of declaration */
    int count, capacity;
    bool declaring;
    bool trainable; /* what eq_params_value tells graphs */
    float *storage; /* [total] all parameters in one array, when allocated; else they are views of a file */
    int64_t total;  /* number of elements of all parameters */
} eq_params;

eq_params *eq_params_new(eq_context *ctx);
void eq_params_free(eq_params *params);

/* The graph's value for the parameter `name` (printf style), declared first if params->declaring. A missing name or
 * another shape is a fault of the graph. */
eq_value eq_params_value(eq_params *params, eq_graph *graph, eq_shape shape, eq_init init, int64_t fan_in,
                         const char *name, ...) EQ_PRINTF(6, 7);

eq_param *eq_params_find(const eq_params *params, const char *name);

/* Gives all parameters float32 storage of their own, keeping the values they have. */
eq_status eq_params_allocate(eq_params *params);

/* Fills allocated storage by each parameter's eq_init; the values depend on (seed, name) only. */
void eq_params_initialise(eq_params *params, uint64_t seed);

#endif
