/* SPDX-License-Identifier: Apache-2.0 */
/* A loaded model: its graph after the passes, programs, plans and idle contexts. Private to runtime/.
 *
 * Everything but the plan list and the pool of contexts is immutable after loading. Those two are behind
 * one lock that is held for list operations only.
 */
#pragma once

#include <pthread.h>

#include "graph/pass.h"
#include "runtime/exec.h"
#include "runtime/infer.h"
#include "runtime/tune.h"

struct infer_value {
    struct value value;
};

struct infer_cancel {
    atomic_bool flag;
};

enum { PLANS_MAX = 32, CONTEXTS_MAX = 16, RUN_SYMBOLS_MAX = 256, MODEL_FACTS = 8 };

struct pack {
    struct pack *next;
    void *data;
};

struct infer_model {
    struct budget *budget;
    uint64_t serial;            /* unique in the process: what a state tells its model by */
    struct arena arena;         /* ports, prepared structures */
    struct onnx_model *file;
    struct graph *graph;
    struct programs programs;
    struct runnable runnable;
    struct device *device;
    int threads;
    const char *facts[MODEL_FACTS]; /* what the file says of itself */
    char *missing;              /* the check report; "" if all runs */
    struct pass_report passes;
    struct infer_port *inputs, *outputs;
    int n_inputs, n_outputs;
    uint32_t *symbols;          /* expression indices of the input symbols */
    struct bind *binds;         /* which input dims they are */
    struct tensor *device_constants;
    struct pack *packs;
    bool measures;              /* loaded with INFER_TUNING_MEASURE */
    struct tuner *tuner;        /* while it is prepared; to its end if it measures */
    uint64_t parameters, weight_bytes, packed_bytes, nodes;
    double load_ms;

    pthread_mutex_t lock;
    struct plan *plans[PLANS_MAX];
    int n_plans;
    uint64_t clock;
    struct context *idle[CONTEXTS_MAX];
    int n_idle;
    size_t idle_bytes;
    uint64_t runs, plans_made, contexts, arena_bytes;
    double plan_ms, dims_ms;
};

/* runtime/model.c: programs, symbols and packed weights of a graph whose facts are inferred and whose nodes
 * are placed; then the model can run. */
int model_ready(struct infer_model *m, const struct stop *stop, struct err *e) WARN_UNUSED;
/* runtime/prepare.c: run the operators' prepare, pack weights, upload constants, give pages back. */
int model_prepare(struct infer_model *m, const struct stop *stop, struct err *e) WARN_UNUSED;
void model_release_packs(struct infer_model *m);
/* runtime/fold.c: the hook of the folding pass. */
int model_fold(struct node *n, void *arg, struct err *e);
/* runtime/report.c */
char *model_text(const struct infer_model *m, const char *what, struct err *e);
int model_ports(struct infer_model *m, struct err *e) WARN_UNUSED;
/* Output tensors as inferred, which says more than the file. */
int model_ports_inferred(struct infer_model *m, struct err *e) WARN_UNUSED;
/* runtime/run.c: run with values in the model's order; out are new references, nothing where the state
 * (NULL: none) has them. */
int model_run(struct infer_model *m, struct value *const *in, struct value *out,
              const struct stop *stop, struct trace *trace, struct infer_state *state,
              struct err *e) WARN_UNUSED;

/* Hand results to the caller: new values, or into the tensors that out[i] points to. */
int outputs_give(struct infer_model *m, struct value *made, struct infer_value **out,
                 struct err *e) WARN_UNUSED;
/* runtime/state.c: infer_run with options->state set. */
int state_run(struct infer_model *m, const struct infer_value *const *in, struct infer_value **out,
              const struct infer_run_options *o, const struct stop *stop, struct err *e) WARN_UNUSED;

/* The public error has the same layout. */
static inline struct err *to_err(struct infer_error *e)
{
    _Static_assert(sizeof(struct infer_error) == sizeof(struct err), "one layout");
    struct err *inner = (struct err *)e;
    if (inner)
        err_clear(inner);
    return inner;
}
