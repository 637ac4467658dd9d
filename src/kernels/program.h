/* A program: a graph made ready to run. Kernels are chosen and prepared, memory is planned; running allocates nothing.
 */
#ifndef EQ_KERNELS_PROGRAM_H
#define EQ_KERNELS_PROGRAM_H

#include "tensor/graph.h"

typedef struct eq_program eq_program;

typedef struct eq_program_options {
    bool frozen_params;  /* inference: parameters are packed once, at compile time */
    const char *backend; /* NULL: the fastest; "ref": plain C only */
    /* Called now and then while frozen parameters are packed, and once after: their stored form so far is not needed
     * until it is read again, and may leave memory as long as it comes back then. May be NULL. */
    void (*packed)(void *user);
    void *packed_user;
} eq_program_options;

typedef struct eq_program_memory {
    size_t arena_bytes;  /* activations within a stage, inputs and outputs */
    size_t carry_bytes;  /* one carry buffer: what crosses stages */
    size_t packed_bytes; /* parameters packed by kernels */
    size_t naive_bytes;  /* what activations would take without sharing memory */
} eq_program_memory;

/* Takes ownership of the graph, also on failure. Free with eq_program_free. */
eq_status eq_program_compile(eq_graph *graph, const eq_program_options *options, eq_program **out);
void eq_program_free(eq_program *program);

const eq_graph *eq_program_graph(const eq_program *program);
eq_program_memory eq_program_memory_use(const eq_program *program);
/* What it takes in all: activations, one carry buffer, packed parameters. */
size_t eq_program_bytes(const eq_program *program);

/* The buffer of an input or output (by value or by name), valid for the program's life; for values that cross stages,
 * until the next eq_program_set_carry. */
void *eq_program_data(eq_program *program, eq_value value);

/* Uses `carry` (eq_program_memory.carry_bytes, 64-byte aligned, owned by the caller) from now on; NULL returns to the
 * program's own. */
void eq_program_set_carry(eq_program *program, void *carry);

/* Runs the nodes of one stage. */
eq_status eq_program_run_stage(eq_program *program, int stage);
/* Runs all stages. */
eq_status eq_program_run(eq_program *program);

/* Seconds spent per kernel since the last reset, for the benchmarks. Timing is off until the first reset. */
typedef struct eq_program_timing {
    const char *op, *backend;
    double seconds, flops;
    double bytes; /* of all inputs and outputs */
    int64_t calls;
} eq_program_timing;
void eq_program_timing_reset(eq_program *program);
/* rows: [capacity]; returns how many there are, one for each (op, backend). */
int eq_program_timings(const eq_program *program, eq_program_timing *rows, int capacity);

#endif
