/* SPDX-License-Identifier: Apache-2.0 */
/* Loading: read, import, infer, passes, placement, programs, preparation. */
#include "runtime/model.h"

#include <stdio.h>
#include <string.h>

#include "core/knobs.h"
#include "graph/infer.h"
#include "kernels/cpu.h"
#include "onnx/import.h"
#include "onnx/reader.h"

/* ---- settings ---------------------------------------------------------------------------------- */

static pthread_once_t started = PTHREAD_ONCE_INIT;
static struct err start_error;

/* Knobs that concern the whole process, applied at the first load. */
static void start(void)
{
    struct err *e = &start_error;
    uint64_t bytes;
    const char *cpu = knob_get(KNOB_CPU);
    int level = *cpu ? cpu_level_find(cpu) : -1;
    if (*cpu && level < 0)
        err_set(e, ERR_USAGE, "cpu level '%.40s' is unknown: c, avx2, avxvnni, avx512, ... or neon", cpu);
    else if (level >= 0)
        cpu_mask_set((enum cpu_level)level);
    if (knob_bytes(KNOB_MEMORY, &bytes, e) == 0 && bytes)
        budget_process_limit(bytes);
}

static int settings(struct infer_model *m, const struct infer_load_options *o, struct err *e)
{
    int64_t threads = 0;
    pthread_once(&started, start);
    if (start_error.code)
        return err_set(e, start_error.code, "%s", start_error.msg);
    const char *precision = o->precision ? o->precision : knob_get(KNOB_PRECISION);
    if (strcmp(precision, "f32") != 0)
        return err_set(e,
                       strcmp(precision, "bf16") == 0 || strcmp(precision, "f16") == 0 ||
                               strcmp(precision, "int8") == 0
                           ? ERR_UNSUPPORTED
                           : ERR_USAGE,
                       "precision '%.40s': this build computes in f32", precision);
    int rc = knob_int(KNOB_THREADS, 0, 4096, &threads, e);
    if (rc < 0)
        return rc;
    m->measures = o->tuning == INFER_TUNING_MEASURE;
    m->threads = o->threads > 0 ? o->threads : threads ? (int)threads : threads_available();
    return device_open(o->device ? o->device : knob_get(KNOB_DEVICE), &m->device, e);
}

int infer_set_option(const char *name, const char *value, struct infer_error *error)
{
    struct err local = {0}, *e = error ? to_err(error) : &local;
    for (int k = 0; k < KNOB_COUNT; k++) {
        if (strcmp(knob_row((enum knob)k)->name, name) != 0)
            continue;
        char *copy = mem_strndup(NULL, value, strlen(value), e);
        if (!copy)
            return ERR_MEMORY;
        knob_set((enum knob)k, copy); /* lives as long as the process */
        return 0;
    }
    return err_set(e, ERR_USAGE, "no setting is named '%.40s'", name);
}

/* ---- the graph ---------------------------------------------------------------------------------- */

static void count_parameters(struct infer_model *m, const struct graph *g)
{
    for (size_t i = 0; i < g->n_values; i++)
        if (g->values[i]->constant) {
            m->parameters += (uint64_t)tensor_count(g->values[i]->constant);
            m->weight_bytes += tensor_bytes(g->values[i]->constant);
        }
    for (const struct node *n = g->first; n; n = n->next)
        for (int i = 0; i < n->n_graphs; i++)
            count_parameters(m, n->graphs[i]);
}

static int infer_again(struct graph *main, void *arg, struct err *e)
{
    return graph_infer(main, e);
}

static int transform(struct infer_model *m, const struct infer_load_options *o, const struct stop *stop,
                     struct err *e)
{
    struct pass_context c = {
        .select = o->passes ? o->passes : knob_get(KNOB_PASSES),
        .fold = model_fold,
        .infer = infer_again,
        .arg = m,
        .report = &m->passes,
        .stop = stop,
    };
    int rc = graph_infer(m->graph, e);
    if (rc == 0)
        rc = graph_passes(m->graph, &c, e);
    if (rc >= 0)
        rc = graph_place(m->graph, m->device, e);
    if (rc >= 0)
        rc = graph_infer(m->graph, e);
    return rc < 0 ? rc : 0;
}

static int list_symbols(struct infer_model *m, struct err *e)
{
    const struct program *p = m->programs.list[0];
    uint32_t n = 0;
    m->symbols = arena_array(&m->arena, (size_t)p->n_binds + 1, sizeof(*m->symbols), e);
    if (!m->symbols)
        return ERR_MEMORY;
    for (int i = 0; i < p->n_binds; i++) {
        uint32_t k = 0;
        while (k < n && m->symbols[k] != p->binds[i].symbol)
            k++;
        if (k == n)
            m->symbols[n++] = p->binds[i].symbol;
    }
    if (n > RUN_SYMBOLS_MAX)
        return err_set(e, ERR_LIMIT, "the inputs have %u symbolic dims, the limit is %d", n,
                       RUN_SYMBOLS_MAX);
    m->runnable.n_symbols = n;
    m->runnable.symbols = m->symbols;
    return 0;
}

int model_ready(struct infer_model *m, const struct stop *stop, struct err *e)
{
    int rc = programs_build(&m->programs, m->graph, m->budget, e);
    if (rc == 0)
        rc = list_symbols(m, e);
    if (rc == 0)
        rc = model_prepare(m, stop, e);
    if (rc < 0)
        return rc;
    m->runnable.programs = &m->programs;
    m->runnable.shared = m->graph->shared;
    m->runnable.device = m->device;
    m->runnable.device_constants = m->device_constants;
    m->runnable.budget = m->budget;
    return 0;
}

static int build(struct infer_model *m, const struct infer_load_options *o, const struct stop *stop,
                 struct err *e)
{
    int rc = transform(m, o, stop, e);
    if (rc == 0)
        rc = stop_poll(stop, e);
    return rc == 0 ? model_ready(m, stop, e) : rc;
}

/* ---- metadata ----------------------------------------------------------------------------------- */

static const char *const fact_keys[] = {"producer", "producer_version", "domain", "doc", "graph",
                                        "ir_version", "model_version", "opset"};
enum { FACTS = sizeof(fact_keys) / sizeof(*fact_keys) };
_Static_assert((int)FACTS == (int)MODEL_FACTS, "one place for each");

static int keep_facts(struct infer_model *m, struct err *e)
{
    for (int i = 0; i < FACTS; i++) {
        char text[512];
        const char *v = onnx_metadata(m->file, fact_keys[i], text, sizeof(text));
        m->facts[i] = v ? arena_strndup(&m->arena, v, strlen(v), e) : NULL;
        if (v && !m->facts[i])
            return ERR_MEMORY;
    }
    return 0;
}

const char *infer_model_metadata(const struct infer_model *m, const char *key, int i)
{
    const char *own, *value;
    for (int k = 0; key && k < FACTS; k++)
        if (strcmp(fact_keys[k], key) == 0)
            return m->facts[k];
    for (size_t k = 0; onnx_metadata_entry(m->file, k, &own, &value); k++) {
        if (key && strcmp(own, key) == 0)
            return value;
        if (!key && (int)k == i)
            return own;
    }
    return NULL;
}

/* ---- loading ------------------------------------------------------------------------------------ */

/* What inference refuses, into the report of what import does. */
struct check {
    struct infer_report infer;
    struct import_report *report;
};

static int add_refused(struct infer_report *r, const struct node *n, const char *why, struct err *e)
{
    struct import_report *report = ((struct check *)r)->report;
    char what[160];
    snprintf(what, sizeof(what), "%s: %.120s", n->op->name, why);
    return import_report_add(report, IMPORT_NODE, n->op->domain, what, n->opset, 0, n->name, e);
}

static int check_types(struct infer_model *m, struct import_report *report, struct err *e)
{
    struct check c = {{.unsupported = add_refused}, report};
    int rc = graph_infer_report(m->graph, &c.infer, e);
    if (rc == 0 && c.infer.behind) {
        char what[80];
        snprintf(what, sizeof(what), "%zu nodes behind these were not looked at", c.infer.behind);
        report->note = arena_strndup(&report->arena, what, sizeof(what), e);
        rc = report->note ? 0 : ERR_MEMORY;
    }
    return rc;
}

/* With `check`, what is not supported is told of in m->missing and is no error. */
static int import(struct infer_model *m, const struct infer_load_options *o, struct err *e)
{
    struct import_report report = {0};
    int rc = onnx_import(m->file, &m->graph, &report, e);
    if (rc < 0 && o->check && m->graph) {
        err_clear(e);
        rc = 0;
    }
    if (rc == 0)
        rc = model_ports(m, e);
    if (rc == 0 && o->check)
        rc = check_types(m, &report, e);
    if (rc == 0 && !(m->missing = import_report_text(&report, m->budget, e)))
        rc = ERR_MEMORY;
    import_report_clear(&report);
    return rc;
}

static struct stop stop_after(const struct infer_load_options *o, int64_t begin)
{
    return (struct stop){o->timeout_ms > 0 ? begin + (int64_t)o->timeout_ms * 1000000 : 0, NULL};
}

static struct infer_model *load(struct infer_model *m, const struct infer_load_options *o, int64_t begin,
                                const struct stop *stop, struct err *e)
{
    int rc = import(m, o, e);
    if (rc == 0)
        rc = stop_poll(stop, e);
    if (rc == 0) {
        m->graph->shared->stop = stop;
        m->nodes = graph_count(m->graph);
        count_parameters(m, m->graph);
    }
    if (rc == 0)
        rc = keep_facts(m, e);
    if (rc == 0 && !*m->missing)
        rc = build(m, o, stop, e);
    if (rc == 0 && !*m->missing)
        rc = model_ports_inferred(m, e);
    m->file->source.stop = NULL; /* it goes with this call */
    if (m->graph)
        m->graph->shared->stop = NULL;
    if (rc < 0) {
        infer_model_free(m);
        return NULL;
    }
    m->load_ms = (double)(clock_ns() - begin) / 1e6;
    return m;
}

static struct onnx_options reading(const struct infer_load_options *o, const struct stop *stop)
{
    return (struct onnx_options){
        .stop = stop,
        .in_memory = o->in_memory,
        .allow_links = strcmp(knob_get(KNOB_LINKS), "1") == 0,
        .folder = o->folder,
    };
}

static struct infer_model *model_new(const struct infer_load_options *given,
                                     struct infer_load_options *o, struct err *e)
{
    *o = (struct infer_load_options){.size = sizeof(*o)};
    if (given)
        memcpy(o, given, given->size < sizeof(*o) ? given->size : sizeof(*o));
    struct infer_model *m = mem_calloc(budget_process(), 1, sizeof(*m), e);
    if (!m)
        return NULL;
    static _Atomic uint64_t models;
    m->serial = ++models;
    m->budget = budget_process();
    arena_init(&m->arena, m->budget);
    pthread_mutex_init(&m->lock, NULL);
    if (settings(m, o, e) < 0) {
        infer_model_free(m);
        return NULL;
    }
    return m;
}

struct infer_model *infer_model_load(const char *path, const struct infer_load_options *given,
                                     struct infer_error *error)
{
    struct err local = {0}, *e = error ? to_err(error) : &local;
    struct infer_load_options o;
    int64_t begin = clock_ns();
    struct infer_model *m = model_new(given, &o, e);
    if (!m)
        return NULL;
    struct stop stop = stop_after(&o, begin);
    struct onnx_options how = reading(&o, &stop);
    m->file = onnx_open(m->budget, path, &how, e);
    if (m->file)
        m = load(m, &o, begin, &stop, e);
    else
        infer_model_free(m), m = NULL;
    if (!m)
        err_at(e, e->code, "%.200s", path);
    return m;
}

struct infer_model *infer_model_load_memory(const void *data, size_t bytes,
                                            const struct infer_load_options *given,
                                            struct infer_error *error)
{
    struct err local = {0}, *e = error ? to_err(error) : &local;
    struct infer_load_options o;
    int64_t begin = clock_ns();
    struct infer_model *m = model_new(given, &o, e);
    if (!m)
        return NULL;
    struct stop stop = stop_after(&o, begin);
    struct onnx_options how = reading(&o, &stop);
    m->file = onnx_open_memory(m->budget, data, bytes, &how, e);
    if (m->file)
        return load(m, &o, begin, &stop, e);
    infer_model_free(m);
    return NULL;
}

void infer_model_free(struct infer_model *m)
{
    if (!m)
        return;
    for (int i = 0; i < m->n_idle; i++)
        context_free(m->idle[i]);
    for (int i = 0; i < m->n_plans; i++)
        plan_unref(m->plans[i]);
    if (m->graph)
        model_release_packs(m);
    programs_clear(&m->programs);
    graph_free(m->graph);
    onnx_close(m->file);
    mem_free(m->missing);
    arena_clear(&m->arena);
    pthread_mutex_destroy(&m->lock);
    mem_free(m);
}
