/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/discover_report.h"

#include <errno.h>

#include "core/endpoint.h"

#define DISCOVER_REPORT_EXTRA_MAX 16u

int discover_report_shared(const struct roster_group *group, const char *comm, struct error *err)
{
	char text[ENDPOINT_TEXT_MAX];

	endpoint_format(&group->endpoint, text, sizeof(text));
	if (group->n_pollers > 1)
		return error_set(
		        err, -ENOTSUP,
		        "port %u: %u processes (%s) share one listener on %s, so there is nothing "
		        "to choose from; start nginx with `reuseport`, or give each worker a "
		        "listener of its own with SO_REUSEPORT",
		        group->endpoint.port, group->n_pollers, comm, text);
	return error_set(err, -ENOTSUP,
	                 "port %u: the listener of %s on %s was opened without SO_REUSEPORT; start "
	                 "nginx with `reuseport`, HAProxy with `shards by-thread`, or set the "
	                 "option before bind() in the program",
	                 group->endpoint.port, comm, text);
}

int discover_report_unowned(const struct roster_group *group, const char *so, struct error *err)
{
	char text[ENDPOINT_TEXT_MAX];

	return error_set(err, -EPERM,
	                 "%s: %zu of %zu listeners can't be seen in /proc of any process: an "
	                 "SCM_RIGHTS message that no process has received may hold it, or a "
	                 "process of another PID namespace; %s",
	                 endpoint_format(&group->endpoint, text, sizeof(text)), group->n_unowned,
	                 group->n_listeners, so);
}

/* A line for each group: its endpoint, and how many listeners it has. */
static void discover_report_list_groups(const struct roster *roster, struct error *err)
{
	char text[ENDPOINT_TEXT_MAX];

	for (size_t g = 0; g < roster->n_groups; g++) {
		const struct roster_group *group = &roster->groups[g];

		error_add(err, 0, "\n  %-28s %4zu %-9s  %s",
		          endpoint_format(&group->endpoint, text, sizeof(text)), group->n_listeners,
		          group->n_listeners == 1 ? "listener" : "listeners",
		          roster->n_workers ? roster->workers[0].owner.comm : "?");
		if (group->n_pollers > 1)
			error_add(err, 0, ", shared by %u processes", group->n_pollers);
		if (group->n_unowned)
			error_add(err, 0, ", %zu in no process that can be seen", group->n_unowned);
		if (group->endpoint.uid != roster->groups[0].endpoint.uid)
			error_add(err, 0, ", of another user");
	}
}

/* The workers beyond the first @n. */
static void discover_report_list_extra(const struct roster *roster, unsigned int n,
                                       struct error *err)
{
	const size_t end = n + DISCOVER_REPORT_EXTRA_MAX;

	for (size_t w = n; w < roster->n_workers && w < end; w++)
		error_add(err, 0, "\n  pid %u (%s), fd %d", roster->workers[w].owner.id.pid,
		          roster->workers[w].owner.comm, roster->workers[w].owner.fd);
	if (roster->n_workers > end)
		error_add(err, 0, "\n  and %zu more", roster->n_workers - end);
}

void discover_report_too_few(const struct discover_wanted *wanted, const struct roster *roster,
                             struct error *err)
{
	error_set(err, -EAGAIN,
	          "port %u has %zu worker%s, not %u; start the others, or give --wait TIME, or "
	          "--workers %zu%s",
	          roster->groups[0].endpoint.port, roster->n_workers,
	          roster->n_workers == 1 ? "" : "s", wanted->workers, roster->n_workers,
	          roster->n_workers == 1 ? " (threads that share one listener are one worker: "
	                                   "start HAProxy with `shards by-thread`)"
	                                 : "");
}

int discover_report_too_many(const struct discover_wanted *wanted, const struct roster *roster,
                             struct error *err)
{
	error_set(err, -E2BIG,
	          "port %u has %zu workers, not %u; stop the others, or give --workers %zu. These "
	          "would get no slot:",
	          roster->groups[0].endpoint.port, roster->n_workers, wanted->workers,
	          roster->n_workers);
	discover_report_list_extra(roster, wanted->workers, err);
	return -E2BIG;
}

void discover_report_differ(const struct discover_wanted *wanted, const struct roster *roster,
                            struct error *err)
{
	error_set(err, -EAGAIN,
	          "port %u: not every group has %u workers; choose a group with --address, or give "
	          "each worker a listener in every group:",
	          roster->groups[0].endpoint.port, wanted->workers);
	discover_report_list_groups(roster, err);
	if (roster->n_workers > wanted->workers)
		error_add(err, 0, "\nThese would get no slot:");
	discover_report_list_extra(roster, wanted->workers, err);
}

void discover_report_no_listener(const struct discover_wanted *wanted, struct error *err)
{
	const char *address = wanted->n_addresses > 1 ? "these addresses" : "this address";

	if (wanted->port)
		error_set(err, -EAGAIN, "nothing listens on port %u%s%s", wanted->port,
		          wanted->n_addresses ? " of " : "", wanted->n_addresses ? address : "");
	else if (wanted->n_addresses)
		error_set(err, -EAGAIN, "nothing listens on %s", address);
	else
		error_set(err, -EAGAIN, "no TCP listener was found in this network namespace%s",
		          wanted->pid
		                  ? ""
		                  : "; --pid PID looks in the network namespace of process PID");
}

void discover_report_no_choice(const struct discover_wanted *wanted,
                               const struct discover_scene *scene, unsigned int fits,
                               struct error *err)
{
	if (fits)
		error_set(err, -ENOTUNIQ, "%u ports fit; choose one with --port:", fits);
	else if (wanted->pid &&
	         !discover_scene_holds(scene, wanted->pid, scene->listeners, scene->n_listeners))
		error_set(err, -EAGAIN, "pid %u has no listener; found:", wanted->pid);
	else if (wanted->workers)
		error_set(
		        err, -EAGAIN,
		        "no port has %u workers with a listener each in all of its groups; found:",
		        wanted->workers);
	else
		error_set(err, -EAGAIN, "no port has several workers with a listener each; found:");
}

void discover_report_port(const struct discover_scene *scene, size_t first, size_t n,
                          struct error *err)
{
	struct roster roster = {};

	if (roster_build(&scene->listeners[first], n, scene->holders, scene->n_holders, &roster))
		return;
	discover_report_list_groups(&roster, err);
	roster_free(&roster);
}

void discover_report_advice(const struct discover_scene *scene, struct error *err)
{
	struct roster roster = {};
	bool shared = false;

	if (roster_build(scene->listeners, scene->n_listeners, scene->holders, scene->n_holders,
	                 &roster) < 0)
		return;
	for (size_t g = 0; g < roster.n_groups; g++)
		shared |= roster.groups[g].n_pollers > 1;
	roster_free(&roster);
	if (shared)
		error_add(err, 0,
		          "\nAmong processes that share one listener there is nothing to choose "
		          "from: start\nnginx with `reuseport`, or give each worker a listener of "
		          "its own with SO_REUSEPORT");
}
