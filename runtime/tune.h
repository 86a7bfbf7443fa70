/* SPDX-License-Identifier: Apache-2.0 */
/* Tuning: which of several ways with the same bits a step takes, by measuring once and remembering.
 *
 * An operator asks in prepare (graph/op.h, struct tune_ask) and gets a site: its choice for every bucket of
 * the dims that only a call knows, as the cache has them at load; no record, no site, the heuristic. Sites
 * are immutable, so a run looks a choice up in a few compares: no lock, no file, no clock.
 *
 * Only a model loaded for measuring (INFER_TUNING_MEASURE) learns: its runs are one at a time, each step
 * with a site is timed inside real runs of the model (its caches as they are then, not a loop over one
 * product), a run of the heuristic and one of a candidate in turns. The least median ratio of those pairs
 * wins if it is at most TUNE_GAIN, so many pairs agree that it is not chance, and it does so once more in pairs
 * made to confirm it: other work on the machine makes a search longer or in vain, but seldom wrong. A candidate that is slower for certain is dropped, and a
 * key within TUNE_NEAR of what the processor's measured peaks allow is done. What was chosen goes to the
 * cache, for later loads.
 *
 * The cache is a text file, a record a line, fields between tabs:
 *     t1  engine  cpu  features  caches  threads | operator  dtype  layout  epilogue  dims | buckets |
 *     candidate  microseconds  hash of the candidates' names  CRC-32 of all before the last tab
 * dims are "b1,m~,n3072,k768", '~' for one that only a call knows; buckets the smallest size of each of
 * those, "m128", or "-". A line that is torn, broken, of another machine, engine or set of candidates is a
 * miss; of several for a key the last one counts. Writers append with one write, so that any number of
 * processes may; a file that would grow beyond TUNE_FILE_MAX is replaced by its newest half.
 */
#pragma once

#include "core/threads.h"
#include "graph/op.h"
#include "runtime/infer.h"

enum { TUNE_FILE_MAX = 1 << 20, TUNE_LINE_MAX = 1024, TUNE_MACHINE_MAX = 256, TUNE_CASES = 32 };
#define TUNE_GAIN 0.97 /* of the heuristic's time, at most, to be worth a change */
#define TUNE_NEAR 1.05 /* of the bound: no search any more */

/* ---- the cache: runtime/tune_cache.c ---------------------------------------------------------- */

/* The first six fields of this process's records, with that many threads. */
void tune_machine(int threads, char out[TUNE_MACHINE_MAX]);
/* Where the cache is: the knob, else infer/tuning.txt in the user's cache folder; NULL if there is none
 * (or no memory). Freed by the caller. */
char *tune_path(struct budget *b);
/* CRC-32 of the names, one a line. */
uint32_t tune_set_hash(const struct tune_ask *a);
/* A line, with its newline; its length, or 0 if it does not fit. */
size_t tune_record(char out[TUNE_LINE_MAX], const char *machine, const struct tune_ask *a, uint32_t where,
                   int choice, double us);
/* The middle of the record for people: "MatMul f32 packed-nn-14x32 none b1,m~,n768,k768 m128". */
void tune_key_print(const struct tune_ask *a, uint32_t where, char *out, size_t size);

/* The usable records of a text (copied), those of other machines left out. NULL without memory. */
struct tune_cache;
struct tune_cache *tune_cache_parse(const char *text, size_t size, const char *machine, struct budget *b);
/* Those of a file; NULL also where there is none. */
struct tune_cache *tune_cache_read(const char *path, const char *machine, struct budget *b);
void tune_cache_free(struct tune_cache *c);
/* The number of records kept. */
size_t tune_cache_size(const struct tune_cache *c);
/* Choices for an ask, at most max of them; their number. */
int tune_cache_find(const struct tune_cache *c, const struct tune_ask *a, struct tune_case *cases, int max);
/* Append whole lines, making the folder. ERR_FILE says why it cannot be written. */
int tune_cache_append(const char *path, const char *lines, size_t size, struct err *e) WARN_UNUSED;

/* ---- the tuner: runtime/tune.c; infer_model_tune: tune_measure.c -------------------------------- */

struct tuner;
struct infer_model;

/* For one model's preparation, and its life if it measures. *out NULL: everything is heuristic. */
int tuner_new(struct tuner **out, bool measure, int threads, struct budget *b, struct err *e) WARN_UNUSED;
void tuner_free(struct tuner *t);
/* The answer to node n, which then lives in `arena`; NULL for the heuristic. */
struct tune_site *tuner_site(struct tuner *t, const struct node *n, const struct tune_ask *a,
                             struct arena *arena);
/* Around each run of a model that measures. */
void tuner_lock(struct tuner *t);
void tuner_unlock(struct tuner *t);
/* A step of such a run took this long. */
void tuner_step(struct tuner *t, const struct node *n, int64_t ns);
