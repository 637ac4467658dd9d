/* Inside the oneDNN backend. */
#ifndef EQ_KERNELS_ONEDNN_BACKEND_H
#define EQ_KERNELS_ONEDNN_BACKEND_H

#include <oneapi/dnnl/dnnl.h>

/* What eq_kernel_env.onednn points to. */
typedef struct eq_onednn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
} eq_onednn;

#endif
