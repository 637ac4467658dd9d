/* concat, slice, broadcast_to and permute: bytes moved, of any dtype. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/rows.h"

enum { PARALLEL_BYTES = 1 << 17 }; /* below, threads cost more than they save */

static size_t element_bytes(const eq_graph *graph, eq_value value)
{
    return eq_dtype_size(eq_info(graph, value)->dtype);
}

/* Copies `rows` rows of `bytes` bytes; the strides are bytes from one to the next. */
static void copy_rows(unsigned char *to, size_t to_stride, const unsigned char *from, size_t from_stride, size_t bytes,
                      int64_t rows)
{
#pragma omp parallel for schedule(static) if ((size_t)rows * bytes > PARALLEL_BYTES)
    for (int64_t r = 0; r < rows; r++)
        memcpy(to + (size_t)r * to_stride, from + (size_t)r * from_stride, bytes);
}

/* in: tensors that differ in the last dimension only; out: joined along it */
static eq_status run_concat(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                            void *const *out, void *scratch)
{
    const eq_shape *shape = eq_shape_at(env->graph, node->out[0]);
    size_t size = element_bytes(env->graph, node->out[0]), whole = (size_t)shape->dim[shape->rank - 1] * size;
    int64_t rows = 1;
    for (int d = 0; d < shape->rank - 1; d++)
        rows *= shape->dim[d];
    unsigned char *to = out[0];
    for (int i = 0; i < node->inputs; i++) {
        size_t part = (size_t)eq_shape_at(env->graph, node->in[i])->dim[shape->rank - 1] * size;
        copy_rows(to, whole, in[i], part, part, rows);
        to += part;
    }
    return EQ_OK;
}

/* A slice as rows of bytes. */
typedef struct slice_rows {
    int64_t rows;
    size_t whole, part, offset; /* bytes of a row of the large and of the small tensor; where the part starts */
} slice_rows;

static slice_rows slice_of(const eq_graph *graph, const eq_node *node, eq_value large, eq_value small)
{
    const eq_shape *whole = eq_shape_at(graph, large), *part = eq_shape_at(graph, small);
    size_t inner = element_bytes(graph, large);
    slice_rows s = {.rows = 1};
    for (int d = node->attr.axis + 1; d < whole->rank; d++)
        inner *= (size_t)whole->dim[d];
    for (int d = 0; d < node->attr.axis; d++)
        s.rows *= whole->dim[d];
    s.whole = (size_t)whole->dim[node->attr.axis] * inner;
    s.part = (size_t)part->dim[node->attr.axis] * inner;
    s.offset = (size_t)node->attr.offset * inner;
    return s;
}

/* in: x; out: its part */
static eq_status run_slice(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                           void *const *out, void *scratch)
{
    slice_rows s = slice_of(env->graph, node, node->in[0], node->out[0]);
    copy_rows(out[0], s.part, (const unsigned char *)in[0] + s.offset, s.whole, s.part, s.rows);
    return EQ_OK;
}

/* in: dy; out: dx, zeros but for the part */
static eq_status run_slice_grad(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                                void *const *out, void *scratch)
{
    slice_rows s = slice_of(env->graph, node, node->out[0], node->in[0]);
    const unsigned char *dy = in[0];
    unsigned char *dx = out[0];
    size_t after = s.whole - s.offset - s.part;
#pragma omp parallel for schedule(static) if ((size_t)s.rows * s.whole > PARALLEL_BYTES)
    for (int64_t r = 0; r < s.rows; r++) {
        unsigned char *row = dx + (size_t)r * s.whole;
        memset(row, 0, s.offset);
        memcpy(row + s.offset, dy + (size_t)r * s.part, s.part);
        memset(row + s.offset + s.part, 0, after);
    }
    return EQ_OK;
}

/* Repeats along dimensions that follow each other, as [n, 1, 1, c] to [n, h, w, c]. */
static bool supports_broadcast_to(const eq_graph *graph, const eq_node *node)
{
    eq_rows rows;
    return eq_rows_between(eq_shape_at(graph, node->out[0]), eq_shape_at(graph, node->in[0]), &rows);
}

/* in: x; out: x repeated */
static eq_status run_broadcast_to(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                                  void *const *out, void *scratch)
{
    eq_rows rows = {0};
    eq_rows_between(eq_shape_at(env->graph, node->out[0]), eq_shape_at(env->graph, node->in[0]), &rows);
    size_t bytes = (size_t)rows.c * element_bytes(env->graph, node->out[0]);
    for (int64_t i = 0; i < rows.n; i++)
        copy_rows((unsigned char *)out[0] + (size_t)(i * rows.rows) * bytes, bytes,
                  (const unsigned char *)in[0] + (size_t)i * bytes, 0, bytes, rows.rows);
    return EQ_OK;
}

/* --- permute --- */

/* A permutation with runs of dimensions that stay together merged into one. Dimensions are the output's. */
typedef struct permutation {
    int rank;
    int64_t dim[EQ_MAX_RANK], from_stride[EQ_MAX_RANK], to_stride[EQ_MAX_RANK]; /* in elements */
} permutation;

static permutation permutation_of(const eq_shape *from, const int *perm)
{
    permutation p = {0};
    int64_t stride[EQ_MAX_RANK], step = 1;
    for (int d = from->rank; d-- > 0;) {
        stride[d] = step;
        step *= from->dim[d];
    }
    for (int d = 0; d < from->rank; d++) {
        int64_t dim = from->dim[perm[d]], from_stride = stride[perm[d]];
        if (dim == 1)
            continue;
        if (p.rank > 0 && p.from_stride[p.rank - 1] == dim * from_stride) {
            p.dim[p.rank - 1] *= dim;
            p.from_stride[p.rank - 1] = from_stride;
        } else {
            p.dim[p.rank] = dim;
            p.from_stride[p.rank++] = from_stride;
        }
    }
    step = 1;
    for (int d = p.rank; d-- > 0;) {
        p.to_stride[d] = step;
        step *= p.dim[d];
    }
    return p;
}

/* Takes dimension d out: its indices are then left to the caller. */
static void drop_dimension(permutation *p, int d)
{
    p->rank--;
    for (; d < p->rank; d++) {
        p->dim[d] = p->dim[d + 1];
        p->from_stride[d] = p->from_stride[d + 1];
        p->to_stride[d] = p->to_stride[d + 1];
    }
}

static int64_t outer_count(const permutation *p)
{
    int64_t count = 1;
    for (int d = 0; d < p->rank; d++)
        count *= p->dim[d];
    return count;
}

static void outer_offsets(const permutation *p, int64_t index, int64_t *from, int64_t *to)
{
    *from = *to = 0;
    for (int d = p->rank; d-- > 0;) {
        *from += index % p->dim[d] * p->from_stride[d];
        *to += index % p->dim[d] * p->to_stride[d];
        index /= p->dim[d];
    }
}

enum { TILE = 16 };

/* to[j * to_stride + i] = from[i * from_stride + j] for i < rows, j < columns, by elements of 2 or 4 bytes */
static void transpose_tile(const void *from, int64_t from_stride, void *to, int64_t to_stride, int64_t rows,
                           int64_t columns, size_t size)
{
    if (size == 4) {
        const uint32_t *x = from;
        uint32_t *y = to;
        for (int64_t j = 0; j < columns; j++)
            for (int64_t i = 0; i < rows; i++)
                y[j * to_stride + i] = x[i * from_stride + j];
    } else {
        const uint16_t *x = from;
        uint16_t *y = to;
        for (int64_t j = 0; j < columns; j++)
            for (int64_t i = 0; i < rows; i++)
                y[j * to_stride + i] = x[i * from_stride + j];
    }
}

/* The output's last dimension i is not the input's last, j: [.. j .. i] from [.. i .. j], a tile of both at a time. */
static void transpose(permutation p, const unsigned char *x, unsigned char *y, size_t size)
{
    int last = p.rank - 1, inner = 0;
    while (p.from_stride[inner] != 1)
        inner++;
    int64_t rows = p.dim[last], columns = p.dim[inner];
    int64_t from_stride = p.from_stride[last], to_stride = p.to_stride[inner];
    int64_t tiles = (rows + TILE - 1) / TILE;
    drop_dimension(&p, last);
    drop_dimension(&p, inner);
    int64_t work = outer_count(&p) * tiles;
#pragma omp parallel for schedule(static) if ((size_t)(work * TILE * columns) * size > PARALLEL_BYTES)
    for (int64_t w = 0; w < work; w++) {
        int64_t from, to, i = w % tiles * TILE;
        outer_offsets(&p, w / tiles, &from, &to);
        for (int64_t j = 0; j < columns; j += TILE)
            transpose_tile(x + (size_t)(from + i * from_stride + j) * size, from_stride,
                           y + (size_t)(to + j * to_stride + i) * size, to_stride, eq_min_i64(TILE, rows - i),
                           eq_min_i64(TILE, columns - j), size);
    }
}

static bool supports_permute(const eq_graph *graph, const eq_node *node)
{
    size_t size = element_bytes(graph, node->in[0]);
    return size == 2 || size == 4;
}

/* in: x; out: x with its dimensions in the order of attr.perm */
static eq_status run_permute(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                             void *const *out, void *scratch)
{
    permutation p = permutation_of(eq_shape_at(env->graph, node->in[0]), node->attr.perm);
    size_t size = element_bytes(env->graph, node->in[0]);
    const unsigned char *x = in[0];
    unsigned char *y = out[0];
    int last = p.rank - 1;
    if (p.rank > 0 && p.from_stride[last] != 1) {
        transpose(p, x, y, size);
        return EQ_OK;
    }
    size_t bytes = size;
    if (p.rank > 0) {
        bytes *= (size_t)p.dim[last];
        drop_dimension(&p, last);
    }
    int64_t rows = outer_count(&p);
#pragma omp parallel for schedule(static) if ((size_t)rows * bytes > PARALLEL_BYTES)
    for (int64_t r = 0; r < rows; r++) {
        int64_t from, to;
        outer_offsets(&p, r, &from, &to);
        memcpy(y + (size_t)to * size, x + (size_t)from * size, bytes);
    }
    return EQ_OK;
}

#define ROW(name, supports_, run_)                                                                                     \
    {                                                                                                                  \
        .op = name, .backend = "cpu", .supports = supports_, .run = run_, .any_dtype = true                            \
    }

const eq_kernel eq_cpu_concat = ROW("concat", NULL, run_concat);
const eq_kernel eq_cpu_slice = ROW("slice", NULL, run_slice);
const eq_kernel eq_cpu_slice_grad = ROW("slice_grad", NULL, run_slice_grad);
const eq_kernel eq_cpu_broadcast_to = ROW("broadcast_to", supports_broadcast_to, run_broadcast_to);
const eq_kernel eq_cpu_permute = ROW("permute", supports_permute, run_permute);
