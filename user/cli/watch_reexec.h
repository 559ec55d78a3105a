/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SIGUSR2 to `attach --watch`: it executes the program file of reuseportd again, in the same
 * process, as a supervisor does. Steering goes on meanwhile.
 */
#pragma once

#include <systemd/sd-event.h>

#include "base/error.h"
#include "web/web_process.h"

struct reaper;
struct reexec_check;

struct watch_reexec {
	struct web_process *metrics; /* killed before the exec */
	sd_event *loop;
	char **self;                /* the command line of this process */
	struct reexec_check *check; /* in progress, or NULL */
	struct reaper *reaper;      /* of its process, also for the program before */
	int home;                   /* the network namespace that this process began in */
};

#define WATCH_REEXEC_NONE(it)  ((struct watch_reexec){.metrics = (it), .home = -1})
#define _cleanup_watch_reexec_ __attribute__((cleanup(watch_reexec_end)))

/* Must be called before a service is opened, which may lead to another network namespace. Returns
 * 0, or a negative errno with @err set. */
int watch_reexec_init(struct watch_reexec *reexec, struct error *err);

/* Before there is a loop: executes the program if @data, a watch_reexec, has got the signal. There
 * is no service yet which the program would have to know. */
void watch_reexec_poll(void *data);

/* Handles the signal in @loop from now on. */
void watch_reexec_start(struct watch_reexec *reexec, sd_event *loop);

void watch_reexec_end(struct watch_reexec *reexec);
