/* SPDX-License-Identifier: Apache-2.0 */
/* Devices: where values live and nodes run, behind a versioned table of functions.
 *
 * Device 0 is the CPU; a model has at most one other. A device pointer may be dereferenced by its
 * device's functions alone. A step runs on the device of its node; all its tensors lie there, except
 * the inputs named in the operator's host_in, which lie on the host. Placement (gpu/place.c) puts
 * infer.Copy nodes wherever a value crosses. Tables are immutable; a device object is shared by all
 * models and threads of the process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "graph/op.h"

enum { DEVICE_ABI = 1, DEVICE_CPU = 0, DEVICE_OTHER = 1 };

struct device;

struct device_table {
    int abi; /* DEVICE_ABI */
    const char *name;
    /* Memory. alloc counts in b. copy: either pointer may be the host's or this device's. */
    void *(*alloc)(struct device *d, struct budget *b, size_t bytes, struct err *e);
    void (*free)(struct device *d, void *p);
    int (*copy)(struct device *d, void *to, bool to_device, const void *from, bool from_device,
                size_t bytes, struct err *e);
    /* Can this node run here (its facts are inferred)? */
    bool (*supports)(struct device *d, const struct node *n);
    /* As op->prepare, for a node placed here. */
    int (*prepare)(struct device *d, struct prepare *p, struct err *e);
    /* Run a call whose tensors lie here; leader only. */
    int (*run)(struct device *d, struct call *c, struct err *e);
    /* Wait for all that was submitted. */
    int (*sync)(struct device *d, struct err *e);
};

struct device {
    const struct device_table *table;
    void *own;
};

/* The device for a name ("cpu", "fake", "cuda", "cuda:1"): ERR_USAGE for a name that means nothing,
 * ERR_DEVICE where it is not there. */
int device_open(const char *name, struct device **out, struct err *e) WARN_UNUSED;

extern struct device device_cpu, device_fake;

/* Run a call's tasks on its team: what the CPU does, and the fake device after translating pointers. */
int device_run_tasks(struct call *c, struct err *e) WARN_UNUSED;

/* Decide where each node of a model runs and put copies between; does nothing for the CPU. */
int graph_place(struct graph *main, struct device *d, struct err *e) WARN_UNUSED;
