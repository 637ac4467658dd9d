/* The graph: a network written down once for one configuration, batch and size, as a list of nodes in running order.
 *
 * Builders (ops/ops.h) append nodes and return values. The first fault is kept in the graph (its message in the
 * context) and every later builder returns EQ_NONE, so that a network's description reads top to bottom without
 * checks; eq_graph_status tells in the end. */
#ifndef EQ_TENSOR_GRAPH_H
#define EQ_TENSOR_GRAPH_H

#include "tensor/tensor.h"

typedef int32_t eq_value; /* index into graph->values */
enum { EQ_NONE = -1 };
enum { EQ_MAX_INPUTS = 8, EQ_MAX_OUTPUTS = 4 };

typedef struct eq_graph eq_graph;
typedef struct eq_node eq_node;

typedef enum eq_activation { EQ_ACT_NONE, EQ_ACT_SILU, EQ_ACT_GELU, EQ_ACT_QUICK_GELU, EQ_ACT_RELU } eq_activation;

/* Settings of a node. Each op documents which it reads; the others are zero. */
typedef struct eq_attr {
    int stride;                                   /* conv2d, pools */
    int kernel;                                   /* pools */
    int pad_top, pad_left, pad_bottom, pad_right; /* conv2d, pools */
    int groups;                                   /* group_norm */
    int heads;                                    /* attention */
    int axis;                                     /* slice, concat */
    int64_t offset;                               /* slice: first index along axis */
    float epsilon;                                /* norms */
    float scale;                                  /* attention (of q k^T), scale */
    bool causal;                                  /* attention */
    bool transpose_a, transpose_b;                /* matmul */
    bool flip_sin_to_cos;                         /* timestep_embedding */
    float frequency_shift, max_period;            /* timestep_embedding */
    eq_activation activation;                     /* activation, and what follows conv2d, linear, group_norm */
    int perm[EQ_MAX_RANK];                        /* permute */
    eq_dtype dtype;                               /* cast */
    eq_shape shape;                               /* ops whose result's shape the inputs do not tell */
} eq_attr;

enum eq_op_flags {
    EQ_OP_VIEW = 1, /* the output is the first input's memory under another shape; no kernel runs, unless the output is
                       bound to memory of its own */
    EQ_OP_INPLACE = 2, /* the first output may take over the first input's memory: same element count and dtype */
};

/* One row of the op table. Adding an op: one file in ops/ with this row, a builder, and a kernel in kernels/ref/. */
typedef struct eq_op {
    const char *name;
    unsigned flags;
    /* Checks inputs and attributes and sets dtype and shape of every output with eq_node_output. */
    eq_status (*infer)(eq_graph *graph, eq_node *node);
    /* Appends the nodes that compute the gradients of the inputs from those of the outputs (dout[i] is EQ_NONE where
     * nothing depends on output i) and stores them in din[i]; it may leave EQ_NONE for inputs that have none, and for
     * those that eq_graph_needs_gradient says nobody wants. NULL: not differentiable. */
    void (*backward)(eq_graph *graph, const eq_node *node, const eq_value *dout, eq_value *din);
    /* Multiplications and additions of one run; NULL where they do not matter (memory-bound ops). */
    double (*flops)(const eq_graph *graph, const eq_node *node);
} eq_op;

struct eq_node {
    const eq_op *op;
    int inputs, outputs;
    eq_value in[EQ_MAX_INPUTS]; /* EQ_NONE: an optional input that is not there */
    eq_value out[EQ_MAX_OUTPUTS];
    eq_attr attr;
    int stage;
};

typedef enum eq_value_kind { EQ_VALUE_INPUT, EQ_VALUE_PARAM, EQ_VALUE_RESULT } eq_value_kind;

typedef struct eq_value_info {
    eq_value_kind kind;
    eq_dtype dtype;
    eq_shape shape;
    char *name;     /* of inputs, parameters and named results; NULL otherwise */
    int32_t node;   /* that computes it; -1 for inputs and parameters */
    bool output;    /* keeps its memory until the next run */
    bool trainable; /* parameters: autodiff makes a gradient */
    void *data;     /* parameters: their storage; outputs: where to put the result, NULL for the arena. Not owned. */
} eq_value_info;

struct eq_graph {
    eq_context *ctx;
    eq_status status;
    eq_dtype dtype; /* of activations: EQ_F32 or EQ_BF16 */
    int stage;      /* given to nodes as they are appended */
    eq_value_info *values;
    int32_t value_count, value_capacity;
    eq_node *nodes;
    int32_t node_count, node_capacity;
    bool *needs_gradient; /* [needs_gradient_count], set by autodiff */
    int32_t needs_gradient_count;
};

/* Creates an empty graph whose activations are `dtype`; eq_graph_free frees it. NULL when memory is out. */
eq_graph *eq_graph_new(eq_context *ctx, eq_dtype dtype);
void eq_graph_free(eq_graph *graph);
eq_status eq_graph_status(const eq_graph *graph);

/* A value that the caller fills before every run; its memory serves others after its last use. */
eq_value eq_graph_input(eq_graph *graph, const char *name, eq_dtype dtype, eq_shape shape);

/* A parameter that reads `tensor` (f32, bf16 or f16; kept by the caller while programs of this graph live). */
eq_value eq_graph_param(eq_graph *graph, const char *name, const eq_tensor *tensor, bool trainable);

/* Marks a value as a result to keep after the run, under a name. */
void eq_graph_output(eq_graph *graph, eq_value value, const char *name);

/* The value of that name, or EQ_NONE. */
eq_value eq_graph_find(const eq_graph *graph, const char *name);

/* Nodes appended from now on belong to the next stage. A stage is what eq_program_run runs at a time; what crosses
 * from one to the next is kept in a carry buffer, so that many micro-batches can stand between two stages. */
void eq_graph_next_stage(eq_graph *graph);

/* Appends a node. Optional trailing inputs may be EQ_NONE. Returns its first output, or EQ_NONE on a fault; the other
 * outputs follow it in number (first + 1, ...). */
eq_value eq_graph_add(eq_graph *graph, const eq_op *op, int inputs, const eq_value *in, int outputs,
                      const eq_attr *attr);

/* For infer functions: sets what output `index` is. */
void eq_node_output(eq_graph *graph, const eq_node *node, int index, eq_dtype dtype, eq_shape shape);

/* For infer functions: records the first fault, with the op's name before the message. Returns the status. */
eq_status eq_graph_fail(eq_graph *graph, const eq_node *node, const char *format, ...) EQ_PRINTF(3, 4);

static inline const eq_value_info *eq_info(const eq_graph *graph, eq_value value)
{
    return &graph->values[value];
}
static inline const eq_shape *eq_shape_at(const eq_graph *graph, eq_value value)
{
    return &graph->values[value].shape;
}

/* For backward functions (see ops/autodiff.h): whether a gradient of this value is of use. */
bool eq_graph_needs_gradient(const eq_graph *graph, eq_value value);

#endif
