#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>

#include "kernels/onednn/backend.h"
#include "kernels/onednn/onednn.h"

eq_status eq_onednn_open(eq_context *ctx, void **backend)
{
    eq_onednn *dnn = calloc(1, sizeof *dnn);
    if (!dnn)
        return eq_fail_memory(ctx, "the oneDNN engine");
    if (dnnl_engine_create(&dnn->engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&dnn->stream, dnn->engine, dnnl_stream_default_flags) != dnnl_success) {
        eq_onednn_close(dnn);
        return eq_fail(ctx, EQ_FAILED, "oneDNN offers no CPU engine here");
    }
    *backend = dnn;
    return EQ_OK;
}

void eq_onednn_close(void *backend)
{
    eq_onednn *dnn = backend;
    if (!dnn)
        return;
    if (dnn->stream)
        dnnl_stream_destroy(dnn->stream);
    if (dnn->engine)
        dnnl_engine_destroy(dnn->engine);
    free(dnn);
}

bool eq_onednn_bf16_is_fast(void)
{
    dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
    return (isa & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
}
