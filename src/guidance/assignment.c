#include "guidance/assignment.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Costs are integers inside, so that sums along paths are exact and no rounding makes a cycle look negative. With
 * magnitudes up to 2^53 a path over all 256 classes stays below 2^63. */
enum { COST_BITS = 53 };

static const int64_t NO_PATH = INT64_MAX;

/* For each pair of classes a, b a heap of the images in a, ordered by what moving them to b costs. An image in a is in
 * the k heaps of a (that of a itself included: it is never asked), and its place in heap (a, b) is place[image, b]. */
typedef struct solver {
    int n, k;
    int64_t *cost;  /* [n, k] */
    int *quota;     /* [k] */
    int *count;     /* [k] images in each class */
    int *class_of;  /* [n] */
    int **heap;     /* [k, k] into heap_data; heap (a, b) has room for quota[a] images */
    int *heap_data; /* [k, n] in all: for class a, k heaps of quota[a] */
    int *place;     /* [n, k] */
    int64_t *edge;  /* [k, k] cost of the cheapest move, NO_PATH from an empty class */
    int64_t *distance;
    int *parent; /* [k] the class before on the shortest path, -1: the image enters here */
} solver;

static int64_t move_cost(const solver *s, int image, int from, int to)
{
    const int64_t *cost = s->cost + (size_t)image * s->k;
    return cost[to] - cost[from];
}

static void put(solver *s, int *heap, int at, int image, int to)
{
    heap[at] = image;
    s->place[(size_t)image * s->k + to] = at;
}

static void sift_up(solver *s, int from, int to, int at)
{
    int *heap = s->heap[from * s->k + to], image = heap[at];
    int64_t cost = move_cost(s, image, from, to);
    while (at > 0) {
        int up = (at - 1) / 2;
        if (move_cost(s, heap[up], from, to) <= cost)
            break;
        put(s, heap, at, heap[up], to);
        at = up;
    }
    put(s, heap, at, image, to);
}

static void sift_down(solver *s, int from, int to, int at, int count)
{
    int *heap = s->heap[from * s->k + to], image = heap[at];
    int64_t cost = move_cost(s, image, from, to);
    for (;;) {
        int down = 2 * at + 1;
        if (down >= count)
            break;
        if (down + 1 < count && move_cost(s, heap[down + 1], from, to) < move_cost(s, heap[down], from, to))
            down++;
        if (move_cost(s, heap[down], from, to) >= cost)
            break;
        put(s, heap, at, heap[down], to);
        at = down;
    }
    put(s, heap, at, image, to);
}

static void update_edges(solver *s, int class)
{
    for (int to = 0; to < s->k; to++) {
        int64_t *edge = &s->edge[class * s->k + to];
        *edge = NO_PATH;
        if (s->count[class] > 0 && to != class)
            *edge = move_cost(s, s->heap[class * s->k + to][0], class, to);
    }
}

static void insert(solver *s, int image, int class)
{
    int at = s->count[class]++;
    for (int to = 0; to < s->k; to++) {
        s->heap[class * s->k + to][at] = image;
        sift_up(s, class, to, at);
    }
    s->class_of[image] = class;
}

static void take_out(solver *s, int image)
{
    int class = s->class_of[image], count = --s->count[class];
    for (int to = 0; to < s->k; to++) {
        int *heap = s->heap[class * s->k + to], at = s->place[(size_t)image * s->k + to];
        if (at == count)
            continue;
        /* The last image fills the gap, and may belong above it or below. */
        put(s, heap, at, heap[count], to);
        sift_up(s, class, to, at);
        sift_down(s, class, to, at, count);
    }
}

/* Bellman-Ford: distance[b] is the least cost of one more image in b, all others moved along. There is no negative
 * cycle, since the assignment so far is optimal for its counts: it ends within k rounds. */
static void find_distances(solver *s, int image)
{
    int k = s->k;
    for (int class = 0; class < k; class ++) {
        s->distance[class] = s->cost[(size_t)image * k + class];
        s->parent[class] = -1;
    }
    for (bool changed = true; changed;) {
        changed = false;
        for (int from = 0; from < k; from++) {
            const int64_t *edge = s->edge + (size_t)from * k;
            for (int to = 0; s->count[from] > 0 && to < k; to++) {
                if (to == from || s->distance[from] + edge[to] >= s->distance[to])
                    continue;
                s->distance[to] = s->distance[from] + edge[to];
                s->parent[to] = from;
                changed = true;
            }
        }
    }
}

static void add_image(solver *s, int image)
{
    find_distances(s, image);
    int end = -1;
    for (int class = 0; class < s->k; class ++)
        if (s->count[class] < s->quota[class] && (end < 0 || s->distance[class] < s->distance[end]))
            end = class;
    /* From the free class back: each class hands its cheapest image on, and only then receives one. */
    int class = end;
    for (int from; (from = s->parent[class]) >= 0; class = from) {
        int moved = s->heap[from * s->k + class][0];
        take_out(s, moved);
        insert(s, moved, class);
        update_edges(s, class);
    }
    insert(s, image, class);
    update_edges(s, class);
}

static eq_status check(eq_context *ctx, const double *cost, int n, int k, const int *quota, double *largest)
{
    if (n < 0 || k < 1 || k > EQ_ASSIGNMENT_CLASSES)
        return eq_fail(ctx, EQ_BAD_USAGE, "assignment of %d images to %d classes; 1 to %d classes are possible", n, k,
                       EQ_ASSIGNMENT_CLASSES);
    long long total = 0;
    for (int class = 0; class < k; class ++) {
        if (quota[class] < 0)
            return eq_fail(ctx, EQ_BAD_USAGE, "assignment quota of class %d is %d", class, quota[class]);
        total += quota[class];
    }
    if (total != n)
        return eq_fail(ctx, EQ_BAD_USAGE, "assignment quotas add up to %lld, but there are %d images", total, n);
    for (size_t i = 0; i < (size_t)n * (size_t)k; i++) {
        if (!isfinite(cost[i]))
            return eq_fail(ctx, EQ_BAD_USAGE, "assignment cost of image %zu and class %zu is %g", i / k, i % k,
                           cost[i]);
        *largest = fmax(*largest, fabs(cost[i]));
    }
    return EQ_OK;
}

static void solver_free(solver *s)
{
    free(s->cost);
    free(s->quota);
    free(s->count);
    free(s->heap);
    free(s->heap_data);
    free(s->place);
    free(s->edge);
    free(s->distance);
    free(s->parent);
}

static eq_status solver_new(eq_context *ctx, const double *cost, double largest, int n, int k, const int *quota,
                            solver *s)
{
    size_t nk = (size_t)n * (size_t)k, kk = (size_t)k * (size_t)k;
    *s = (solver){.n = n, .k = k};
    s->cost = calloc(nk, sizeof(*s->cost));
    s->quota = calloc((size_t)k, sizeof(*s->quota));
    s->count = calloc((size_t)k, sizeof(*s->count));
    s->heap = calloc(kk, sizeof(*s->heap));
    s->heap_data = calloc(nk, sizeof(*s->heap_data));
    s->place = calloc(nk, sizeof(*s->place));
    s->edge = calloc(kk, sizeof(*s->edge));
    s->distance = calloc((size_t)k, sizeof(*s->distance));
    s->parent = calloc((size_t)k, sizeof(*s->parent));
    if (!s->cost || !s->quota || !s->count || !s->heap || !s->heap_data || !s->place || !s->edge || !s->distance ||
        !s->parent) {
        solver_free(s);
        return eq_fail_memory(ctx, "an assignment of images to classes");
    }
    int exponent = 0;
    (void)frexp(largest, &exponent); /* largest < 2^exponent; scaling by a power of two is exact */
    for (size_t i = 0; i < nk; i++)
        s->cost[i] = llrint(ldexp(cost[i], COST_BITS - exponent));
    int *heap = s->heap_data;
    for (int from = 0; from < k; from++) {
        s->quota[from] = quota[from];
        for (int to = 0; to < k; to++, heap += quota[from])
            s->heap[from * k + to] = heap;
    }
    return EQ_OK;
}

eq_status eq_assign(eq_context *ctx, const double *cost, int n, int k, const int *quota, int *class_of)
{
    double largest = 0;
    solver s;
    EQ_TRY(check(ctx, cost, n, k, quota, &largest));
    if (n == 0)
        return EQ_OK;
    EQ_TRY(solver_new(ctx, cost, largest, n, k, quota, &s));
    s.class_of = class_of;
    for (int image = 0; image < n; image++)
        add_image(&s, image);
    solver_free(&s);
    return EQ_OK;
}
