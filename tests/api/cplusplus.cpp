/* SPDX-License-Identifier: Apache-2.0 */
/* infer.h from C++: it compiles there, and its functions have C names. */
#include "infer.h"

#include <cstdio>
#include <cstring>

int main()
{
    infer_error e = {};
    infer_load_options o = {};
    o.size = sizeof o;
    infer_model *m = infer_model_load("/nonexistent/model.onnx", &o, &e);
    bool ok = !m && e.code == INFER_E_FILE && std::strcmp(infer_version(), INFER_VERSION) == 0;
    int64_t dims[] = {2, 3};
    infer_value *v = infer_value_new(INFER_FLOAT, 2, dims, &e);
    ok = ok && v && infer_value_bytes(v) == 24;
    infer_value_free(v);
    std::printf("%d passed, %d failed\n", ok, !ok);
    return ok ? 0 : 1;
}
