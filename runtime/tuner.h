/* SPDX-License-Identifier: Apache-2.0 */
/* What tune.c (answers) and tune_measure.c (the search) share. Private to them. */
#pragma once

#include <pthread.h>

#include "runtime/model.h"

enum { RATIOS = 31, ROUNDS_MIN = 5 };

/* A key that was met while measuring: what is known of its candidates. */
struct trial {
    struct trial *next;
    const struct tune_ask *ask; /* of the first node that had it */
    uint32_t where;
    struct infer_tuned out;
    char key[256];
    double base;           /* the heuristic's mean in the run before */
    float ratios[TUNE_NAMES][RATIOS]; /* of a candidate's mean to base, rising */
    int n[TUNE_NAMES], runs[TUNE_NAMES], wins[TUNE_NAMES]; /* ratios kept, seen, below 1 */
    double us[TUNE_NAMES]; /* least mean of the heuristic, and that times the median ratio; 0: not measured */
    struct tune_cost cost; /* of the dims that were met first */
    unsigned worth;        /* candidates still in the race */
    int now, best;
    bool done;
    int64_t ns, steps; /* of the run in progress */
};

/* A site that measures; cases[i] is of trials[i]. */
struct own_site {
    struct tune_site site;
    struct tuner *tuner;
    struct own_site *next;
    struct trial *trials[TUNE_CASES];
    _Atomic int last; /* the case of the step that runs; -1: none */
};

struct tuner {
    struct budget *budget;
    struct arena arena;
    struct tune_cache *cache; /* of the preparation */
    bool measure;
    int threads;
    char machine[TUNE_MACHINE_MAX];
    pthread_mutex_t running;
    atomic_bool busy;
    struct own_site **by_node, *sites; /* by node id */
    size_t n_nodes;
    struct trial *trials, **end;
    double peak_flops, peak_bytes; /* a second */
};
