/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the executor share: contexts and frames. Private to runtime/exec*.c. */
#pragma once

#include "runtime/exec.h"

struct frame;

/* A step's call and the frame that it runs in, so that the call's functions find their way back. */
struct step_call {
    struct call call;
    struct frame *frame;
    const struct step *step;
};

struct frame {
    const struct program *program;
    struct context *context;
    struct value *values;   /* by slot */
    struct step_call *calls; /* by step */
    struct value **links;   /* in and out pointers of all calls */
    const size_t *offsets;  /* the plan's */
    void **elems;           /* by slot: storage of PLACE_ELEMS */
};

struct context {
    const struct runnable *model;
    struct budget *budget;
    struct arena memory;    /* frames; lives as long as the context */
    struct arena infer;     /* reset before each inference on numbers */
    struct plan *plan;
    char *arena[2];         /* by device */
    size_t arena_bytes[2];
    int64_t *numbers;       /* of expressions */
    int64_t *last;          /* symbols that dims were set for */
    bool dims_set;
    int64_t dims_ns;        /* the last time that dims changed took */
    struct frame *frames;   /* by program */
    char *scratch;
    size_t scratch_bytes;
    struct guards guards;   /* of the scratch */
    struct team *team;
    const struct run_options *options;
};

/* The value of a slot, found in the enclosing frame for captures. */
struct value *frame_value(struct frame *f, uint32_t slot);
/* Set the numbers and dims of everything that is known when a frame starts, from symbols already bound;
 * check the nodes that took dims for equal. */
int frame_set_dims(struct frame *f, struct err *e) WARN_UNUSED;
/* Run all steps of a frame whose dims are set and whose inputs are there. */
int frame_run(struct frame *f, struct err *e) WARN_UNUSED;
/* Output i as a reference with storage of its own. */
int frame_output(struct frame *f, int i, struct value *out, struct err *e) WARN_UNUSED;
/* The run's state has output i: there is no value of it. */
bool frame_kept(const struct frame *f, int i);
/* What a call asks for in scratch: a shared piece and one a member, with guards around each. */
struct scratch {
    size_t shared, member, total; /* the pieces as asked for; all with alignment and guards */
    int members;
};
int scratch_measure(struct call *call, int members, struct scratch *s, struct err *e) WARN_UNUSED;
/* Lay the pieces out at `base`, total bytes. */
void scratch_give(struct call *call, const struct scratch *s, char *base, struct guards *g);
/* Did the call stay within its pieces? */
int scratch_check(const struct call *call, struct err *e) WARN_UNUSED;
/* Drop everything on the heap. */
void frame_clear(struct frame *f);

extern const struct call_table exec_table;
