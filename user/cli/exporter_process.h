/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The exporter of a supervisor or watcher: a child process, `reuseportd metrics --listen`, with the
 * listener of its parent. Clients of the network reach only this process, which has no part in
 * supervision. It ends with its parent, and is started again if it ends before.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/error.h"
#include "cli/exporter.h"

struct exporter_process {
	struct exporter exporter;           /* its listener */
	const struct rpd_endpoint *address; /* NULL = it is not started */
	const char *service;
	sd_event *loop;
	sd_event_source *on_end, *again;
	int pidfd, lifeline;
	uint32_t pid;
	bool failure_is_logged;
};

#define _cleanup_exporter_process_ __attribute__((cleanup(exporter_process_end)))

/* Not started: exporter_process_end() may be called. */
void exporter_process_init(struct exporter_process *process);

/* Listens on @address, which must stay valid, and checks what else can be checked before the start.
 * Must be called before a service is opened (exporter_bind()). Returns 0, or a negative errno with
 * @err set. */
int exporter_process_bind(struct exporter_process *process, const struct rpd_endpoint *address,
                          struct error *err);

/* The same for a process that takes services over: supervision matters more than metrics, so what
 * fails is logged, and exporter_process_start() tries to bind again. */
void exporter_process_bind_later(struct exporter_process *process,
                                 const struct rpd_endpoint *address);

/* Starts the exporter, if @data, an exporter_process, has an address. Its end is handled in @loop.
 * A failure is logged once, and tried again every second. */
void exporter_process_start(sd_event *loop, void *data);

/* Kills the exporter of @data, an exporter_process, and reaps it. The listener stays open. */
void exporter_process_kill(void *data);

/* Ends the exporter, and closes the listener. */
void exporter_process_end(struct exporter_process *process);
