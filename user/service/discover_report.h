/* SPDX-License-Identifier: BSD-2-Clause */
/* The error texts of discover(): why listeners can't be steered to, and which there are instead. */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "core/roster.h"
#include "service/discover_scene.h"

/* Sets @err: why the only listener of the group can't be steered to. @comm: the name of its
 * process. Returns -ENOTSUP. */
int discover_report_shared(const struct roster_group *group, const char *comm, struct error *err);

/* Sets @err: no process can be seen that has some listeners of the group open. @so: what that
 * means, or what to do. Returns -EPERM. */
int discover_report_unowned(const struct roster_group *group, const char *so, struct error *err);

/* Sets @err: the groups of the port do not have the same workers, as many as were asked for. */
void discover_report_differ(const struct discover_wanted *wanted, const struct roster *roster,
                            struct error *err);

/* Sets @err: the port has fewer workers than were asked for. */
void discover_report_too_few(const struct discover_wanted *wanted, const struct roster *roster,
                             struct error *err);

/* Sets @err: the port has more workers than were asked for. Returns -E2BIG. */
int discover_report_too_many(const struct discover_wanted *wanted, const struct roster *roster,
                             struct error *err);

/* Sets @err: no process listens at the wanted port and address. */
void discover_report_no_listener(const struct discover_wanted *wanted, struct error *err);

/* Sets the first line of @err: no port fits, or @fits of them do. */
void discover_report_no_choice(const struct discover_wanted *wanted,
                               const struct discover_scene *scene, unsigned int fits,
                               struct error *err);

/* Adds to @err the groups of the port that has @n listeners from @first on. */
void discover_report_port(const struct discover_scene *scene, size_t first, size_t n,
                          struct error *err);

/* Adds to @err, if processes share a listener, what to do about it. */
void discover_report_advice(const struct discover_scene *scene, struct error *err);
