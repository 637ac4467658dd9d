/* Inside Winograd's filtering F(4x4, 3x3): its transforms in one direction, over vectors of channels. With M the
 * polynomial with roots at the points, they are those of Toom and Cook: pictures by M over each root, filters by their
 * values, results by powers. */
#ifndef EQ_KERNELS_CPU_WINOGRAD_POINTS_H
#define EQ_KERNELS_CPU_WINOGRAD_POINTS_H

#include "kernels/cpu/simd.h"
#include "kernels/cpu/winograd.h"

/* P: points in one direction, POINTS in both; OUT: outputs of a tile in one direction. */
enum { OUT = 4, P = 6, POINTS = P * P, WIDTH = 8, PANEL = EQ_WINOGRAD_PANEL };

/* The points: 0, +-sqrt(1/2), +-sqrt(2) and infinity. Whole ones (0, +-1, +-2) would spare multiplications, and lose
 * twice as much to rounding. */
static const float NEAR = 0.70710678f, NEAR2 = 0.5f, FAR = 1.41421356f, FAR2 = 2.0f;
/* M without a root, at that root. */
static const float AT_NEAR = -1.5f, AT_FAR = 6.0f;

#if defined(__GNUC__) && defined(__x86_64__)
#define TARGET __attribute__((target("avx2,fma")))
#else
#define TARGET
#endif

typedef float vec __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));

/* Eight numbers in memory as a vector. No function takes or gives one: callers are built for all processors. */
#define VEC(p) (*(vec *)(uintptr_t)(p))

/* B^T d */
EQ_INLINE void picture_points(const vec d[P], vec to[P])
{
    vec near = d[4] - FAR2 * d[2], near_odd = NEAR * (d[3] - FAR2 * d[1]);
    vec far = d[4] - NEAR2 * d[2], far_odd = FAR * (d[3] - NEAR2 * d[1]);
    to[0] = d[0] - 2.5f * d[2] + d[4];
    to[1] = near + near_odd;
    to[2] = near - near_odd;
    to[3] = far + far_odd;
    to[4] = far - far_odd;
    to[5] = d[1] - 2.5f * d[3] + d[5];
}

/* A^T m */
EQ_INLINE void result_points(const vec m[P], vec to[OUT])
{
    vec near = m[1] + m[2], far = m[3] + m[4], near_odd = NEAR * (m[1] - m[2]), far_odd = FAR * (m[3] - m[4]);
    to[0] = m[0] + near + far;
    to[1] = near_odd + far_odd;
    to[2] = NEAR2 * near + FAR2 * far;
    to[3] = NEAR2 * near_odd + FAR2 * far_odd + m[5];
}

/* A y */
EQ_INLINE void result_gradient_points(const vec y[OUT], vec to[P])
{
    vec near = y[0] + NEAR2 * y[2], near_odd = NEAR * (y[1] + NEAR2 * y[3]);
    vec far = y[0] + FAR2 * y[2], far_odd = FAR * (y[1] + FAR2 * y[3]);
    to[0] = y[0];
    to[1] = near + near_odd;
    to[2] = near - near_odd;
    to[3] = far + far_odd;
    to[4] = far - far_odd;
    to[5] = y[3];
}

/* G g */
static inline void filter_points(const float g[3], float to[P])
{
    float near = (g[0] + NEAR2 * g[2]) / AT_NEAR, near_odd = NEAR * g[1] / AT_NEAR;
    float far = (g[0] + FAR2 * g[2]) / AT_FAR, far_odd = FAR * g[1] / AT_FAR;
    to[0] = g[0];
    to[1] = near + near_odd;
    to[2] = near - near_odd;
    to[3] = far + far_odd;
    to[4] = far - far_odd;
    to[5] = g[2];
}

/* G^T u */
static inline void filter_gradient_points(const float u[P], float to[3])
{
    float near = (u[1] + u[2]) / AT_NEAR, near_odd = (u[1] - u[2]) / AT_NEAR;
    float far = (u[3] + u[4]) / AT_FAR, far_odd = (u[3] - u[4]) / AT_FAR;
    to[0] = u[0] + near + far;
    to[1] = NEAR * near_odd + FAR * far_odd;
    to[2] = NEAR2 * near + FAR2 * far + u[5];
}

/* Where a tile lies: its image and the first row and column of its outputs. */
typedef struct tile {
    int64_t image, y, x;
} tile;

static inline tile tile_at(const eq_winograd *c, int64_t index)
{
    return (tile){index / (c->down * c->across), index / c->across % c->down * OUT, index % c->across * OUT};
}

/* B^T d B of a tile of x: [n, h, w, ci]. zero: [ci], what lies outside; v: the tile's row at the first point; point:
 * from one point to the next */
void eq_winograd_take_tile(const eq_winograd *conv, const float *x, tile t, const float *zero, float *v, int64_t point);

#endif
