/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket of a service that is run: for what needs its supervisor. A stream of JSON, one
 * object a line.
 *
 * Request: {"do": "reload", "argv": [...], "label": TEXT, "batch": N, "in_place": BOOL,
 * "keep_going": BOOL}, all but "do" optional; {"do": "restart", "slots": [N, ...], "in_place":
 * BOOL}; {"do": "scale", "workers": N}; {"do": "stop"}, or, of some, {"do": "stop", "slots":
 * [...]};
 * {"do": "start", "slots": [...]}.
 * Answer: any number of {"line": TEXT} while it goes on, then {"status": N, "error": TEXT}.
 */
#pragma once

#include "base/error.h"
#include "core/slots.h"

struct control;
struct supervisor;

/* Only root and our own user may say anything: the socket is 0600, and the peer's uid is looked at
 * as well. */
int control_new(struct supervisor *sup, struct control **ret, struct error *err);

/* What {"do": "reload"} does, for SIGHUP. */
int control_reload(struct supervisor *sup, struct error *err);

/* Tells those that wait for something what happens. */
void control_log(struct supervisor *sup, const char *line);

/* The reload is over: those who wait for it are told when the old workers are gone, and those of
 * the slots that it has @added are up. Of one that has failed (@status) at once, and @why; @added
 * may be NULL then. */
void control_reload_ended(struct supervisor *sup, int status, const char *why,
                          const struct slots *added);

/* A worker has gone, or a slot has come to rest: somebody may have waited for that. */
void control_check(struct supervisor *sup);

/* Takes no more requests; the socket is gone. */
void control_close(struct control *control);

/* All has ended, and nothing is left; the last answers. */
void control_free(struct control *control, int status);

/* For the commands: sends @request to the supervisor of @service and calls @on_line for what it
 * tells. Returns its exit status, or a negative errno with @err set: -ENOENT if none runs. */
int control_ask(const char *service, const char *request,
                void (*on_line)(const char *line, void *data), void *data, struct error *err);
