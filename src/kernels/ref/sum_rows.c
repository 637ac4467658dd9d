#include "kernels/ref/ref.h"

void eq_ref_sum_rows(const float *x, int64_t rows, int64_t columns, float *sum)
{
#pragma omp parallel for
    for (int64_t c = 0; c < columns; c++) {
        double total = 0;
        for (int64_t row = 0; row < rows; row++)
            total += x[row * columns + c];
        sum[c] = (float)total;
    }
}
