/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/discover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "core/endpoint.h"
#include "kern/proc.h"
#include "kern/sockdiag.h"
#include "kern/proc_holders.h"

/* All that one look at the host tells. */
struct scene {
	struct listener *listeners; /* by port */
	size_t n_listeners;
	struct holder *holders;
	size_t n_holders;
};

static void discover_scene_free(struct scene *scene)
{
	free(scene->listeners);
	free(scene->holders);
}

void found_free(struct found *found)
{
	free(found->listeners);
	free(found->fds);
	free(found->notes);
	roster_free(&found->roster);
	memset(found, 0, sizeof(*found));
}

static int discover_by_endpoint(const void *a, const void *b)
{
	const struct listener *x = a, *y = b;

	return endpoint_compare(&x->endpoint, &y->endpoint);
}

static bool discover_address_fits(const struct wanted *wanted, const struct listener *listener)
{
	return wanted->family == 0 ||
	       (wanted->family == listener->endpoint.family &&
	        !memcmp(wanted->addr, listener->endpoint.addr, sizeof(wanted->addr)));
}

static int discover_look(const struct wanted *wanted, struct scene *ret, struct error *err)
{
	size_t kept = 0;
	int r = sockdiag_list_listeners(wanted->port, &ret->listeners, &ret->n_listeners, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ret->n_listeners; i++)
		if (discover_address_fits(wanted, &ret->listeners[i]))
			ret->listeners[kept++] = ret->listeners[i];
	ret->n_listeners = kept;
	if (kept == 0)
		return 0;
	qsort(ret->listeners, kept, sizeof(*ret->listeners), discover_by_endpoint);
	return proc_holders_find(ret->listeners, kept, &ret->holders, &ret->n_holders, err);
}

/* Whether process @pid has one of these listeners open. */
static bool discover_pid_holds(const struct scene *scene, uint32_t pid,
                               const struct listener *listeners, size_t n)
{
	for (size_t h = 0; h < scene->n_holders; h++)
		for (size_t i = 0; i < n && scene->holders[h].pid == pid; i++)
			if (scene->holders[h].inode == listeners[i].inode)
				return true;
	return false;
}

/* Whether a listener has SO_REUSEPORT: 1 or 0. sock_diag doesn't tell, so ask a duplicate. */
static int discover_has_reuseport(const struct scene *scene, const struct listener *listener,
                                  struct error *err)
{
	int r = 0;

	for (size_t h = 0; h < scene->n_holders; h++) {
		const struct holder *holder = &scene->holders[h];
		_cleanup_close_ int fd = -1;
		socklen_t n = sizeof(r);

		if (holder->inode != listener->inode)
			continue;
		fd = proc_duplicate_fd(holder->pid, holder->fd, holder->inode, err);
		if (fd == -ESRCH || fd == -EBADF)
			continue; /* gone meanwhile */
		if (fd < 0)
			return fd;
		if (getsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &r, &n) < 0)
			return error_set(err, -errno, "can't ask a listener of pid %u: %s",
			                 holder->pid, strerror(errno));
		return !!r;
	}
	return 0;
}

/* Says why the only listener of this group can't be steered to. */
static void discover_describe_shared(const struct roster_group *group, const char *comm,
                                     struct error *err)
{
	char text[ENDPOINT_TEXT_MAX];

	endpoint_format(&group->endpoint, text, sizeof(text));
	if (group->n_pollers > 1)
		error_set(
		        err, -ENOTSUP,
		        "port %u: %u processes (%s) share one listener on %s, so there is nothing "
		        "to choose from; start nginx with `reuseport`, or give each worker a "
		        "listener of its own with SO_REUSEPORT",
		        group->endpoint.port, group->n_pollers, comm, text);
	else
		error_set(
		        err, -ENOTSUP,
		        "port %u: the listener of %s on %s was opened without SO_REUSEPORT; start "
		        "nginx with `reuseport`, HAProxy with `shards by-thread`, or set the "
		        "option before bind() in the program",
		        group->endpoint.port, comm, text);
}

static const char *discover_comm_of(const struct scene *scene, const struct listener *listener)
{
	for (size_t h = 0; h < scene->n_holders; h++)
		if (scene->holders[h].inode == listener->inode)
			return scene->holders[h].comm;
	return "an unknown process";
}

static int discover_add_note(struct found *found, const char *text)
{
	size_t old = found->notes ? strlen(found->notes) : 0;
	char *notes = realloc(found->notes, old + strlen(text) + 2);

	if (!notes)
		return -ENOMEM;
	sprintf(notes + old, "%s\n", text);
	found->notes = notes;
	return 0;
}

/*
 * The listeners of one port that can be steered to: groups of a single listener count only if that
 * has SO_REUSEPORT (several on one address can't be there without it) and one process serves it.
 * What was left out is noted; if that is all there is, it is the error.
 */
static int discover_keep_reuseport(const struct scene *scene, const struct listener *listeners,
                                   size_t n, struct found *found, struct error *err)
{
	struct roster all = {};
	int r;

	found->listeners = calloc(n + 1, sizeof(*found->listeners));
	r = found->listeners ? roster_build(listeners, n, scene->holders, scene->n_holders, &all)
	                     : -ENOMEM;
	if (r < 0)
		return error_set(err, r, "out of memory");
	for (size_t g = 0, at = 0; r >= 0 && g < all.n_groups; at += all.groups[g++].n_listeners) {
		const struct roster_group *group = &all.groups[g];
		bool keep = group->n_listeners > 1;

		if (!keep) {
			r = discover_has_reuseport(scene, &listeners[at], err);
			keep = r > 0 && group->n_pollers <= 1;
		}
		if (r >= 0 && !keep) {
			discover_describe_shared(group, discover_comm_of(scene, &listeners[at]),
			                         err);
			r = discover_add_note(found, err->text);
		}
		for (size_t i = 0; keep && i < group->n_listeners; i++)
			found->listeners[found->n_listeners++] = listeners[at + i];
	}
	roster_free(&all);
	if (r >= 0 && found->n_listeners == 0)
		return -ENOTSUP; /* err has the reason */
	return r < 0 ? r : 0;
}

/* By which descriptor each worker has each of its listeners. */
static int discover_find_fds(const struct scene *scene, struct found *found)
{
	const struct roster *roster = &found->roster;

	found->fds = calloc(found->n_listeners + 1, sizeof(*found->fds));
	if (!found->fds)
		return -ENOMEM;
	for (size_t w = 0; w < roster->n_workers; w++)
		for (size_t g = 0; g < roster->n_groups; g++) {
			int32_t at = roster->workers[w].listeners[g];

			for (size_t h = 0; at >= 0 && h < scene->n_holders; h++)
				if (scene->holders[h].pid == roster->workers[w].owner.pid &&
				    scene->holders[h].inode == found->listeners[at].inode)
					found->fds[at] = scene->holders[h].fd;
		}
	return 0;
}

static int discover_build(const struct scene *scene, const struct listener *listeners, size_t n,
                          struct found *ret, struct error *err)
{
	struct found found = {};
	int r = discover_keep_reuseport(scene, listeners, n, &found, err);

	if (r == 0 && (roster_build(found.listeners, found.n_listeners, scene->holders,
	                            scene->n_holders, &found.roster) < 0 ||
	               discover_find_fds(scene, &found) < 0))
		r = error_set(err, -ENOMEM, "out of memory");
	if (r < 0)
		found_free(&found);
	else
		*ret = found;
	return r;
}

/* Groups of one service belong to one user: another's on the same port is another's service. */
static int discover_check_owners(const struct found *found, struct error *err)
{
	const struct roster_group *groups = found->roster.groups;
	char a[ENDPOINT_TEXT_MAX], b[ENDPOINT_TEXT_MAX];

	for (size_t g = 0; g < found->roster.n_groups; g++) {
		endpoint_format(&groups[g].endpoint, b, sizeof(b));
		if (groups[g].endpoint.uid != groups[0].endpoint.uid)
			return error_set(
			        err, -EPERM,
			        "%s belongs to uid %u and %s to uid %u, which can't be one "
			        "service; choose with --address",
			        endpoint_format(&groups[0].endpoint, a, sizeof(a)),
			        groups[0].endpoint.uid, b, groups[g].endpoint.uid);
		if (groups[g].n_unowned > 0)
			return error_set(
			        err, -EPERM,
			        "%zu listeners on %s belong to processes that can't be seen "
			        "in /proc (another PID namespace?); run reuseportd where "
			        "they can be seen",
			        groups[g].n_unowned, b);
	}
	return 0;
}

/* The workers beyond the first @n, for an error. */
static void discover_name_extra(const struct roster *roster, unsigned int n, struct error *err)
{
	for (size_t w = n; w < roster->n_workers && w < n + 16u; w++)
		error_add(err, 0, "\n  pid %u (%s), fd %d", roster->workers[w].owner.pid,
		          roster->workers[w].owner.comm, roster->workers[w].owner.fd);
	if (roster->n_workers > n + 16u)
		error_add(err, 0, "\n  and %zu more", roster->n_workers - n - 16);
}

/* The groups of the port and how many listeners each has, for an error. */
static void discover_list_groups(const struct roster *roster, struct error *err)
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
		if (group->endpoint.uid != roster->groups[0].endpoint.uid)
			error_add(err, 0, ", of another user");
	}
}

static bool discover_is_shared(const struct scene *scene)
{
	struct roster roster = {};
	bool shared = false;

	if (roster_build(scene->listeners, scene->n_listeners, scene->holders, scene->n_holders,
	                 &roster) < 0)
		return false;
	for (size_t g = 0; g < roster.n_groups; g++)
		shared |= roster.groups[g].n_pollers > 1;
	roster_free(&roster);
	return shared;
}

/* Whether there are as many workers as wanted, in each group. */
static int discover_check_number(const struct wanted *wanted, const struct found *found,
                                 struct error *err)
{
	const struct roster *roster = &found->roster;
	unsigned int port = roster->groups[0].endpoint.port;
	bool differ = false, fewer = false;

	if (roster->n_workers > RPD_SLOT_MAX)
		return error_set(err, -E2BIG, "port %u has %zu workers; a service has at most %d",
		                 port, roster->n_workers, RPD_SLOT_MAX);
	for (size_t g = 0; wanted->workers && g < roster->n_groups; g++) {
		/* Or those of one group are others than those of another. */
		differ |= roster->groups[g].n_listeners != roster->groups[0].n_listeners ||
		          (roster->n_workers > wanted->workers &&
		           roster->groups[g].n_listeners < roster->n_workers);
		fewer |= roster->groups[g].n_listeners < wanted->workers;
	}
	differ |= fewer && roster->n_workers >= wanted->workers;
	if (differ) {
		error_set(err, -EAGAIN,
		          "port %u: %u workers were asked for, but its groups differ; choose one "
		          "with --address, or give each worker a listener in every group:",
		          port, wanted->workers);
		discover_list_groups(roster, err);
		if (roster->n_workers > wanted->workers)
			error_add(err, 0, "\nIn the order of the slots, these are too many:");
		discover_name_extra(roster, wanted->workers, err);
		return -EAGAIN;
	}
	if (fewer)
		return error_set(err, -EAGAIN,
		                 "port %u has %zu of the %u workers that were asked for; start the "
		                 "others, or give --wait SECONDS, or --workers %zu%s",
		                 port, roster->n_workers, wanted->workers, roster->n_workers,
		                 roster->n_workers == 1
		                         ? " (threads that share one listener are one worker: "
		                           "start HAProxy with `shards by-thread`)"
		                         : "");
	if (!wanted->workers || roster->n_workers == wanted->workers)
		return 0;
	error_set(err, -E2BIG,
	          "port %u has %zu workers, and %u were asked for; stop the extra ones, or give "
	          "--workers %zu. In the order of the slots, these are too many:",
	          port, roster->n_workers, wanted->workers, roster->n_workers);
	discover_name_extra(roster, wanted->workers, err);
	return -E2BIG;
}

static int discover_check(const struct wanted *wanted, const struct found *found, struct error *err)
{
	int r = discover_check_owners(found, err);

	return r < 0 ? r : discover_check_number(wanted, found, err);
}

/* One port's lines in the list of what there is. */
static void discover_describe_port(const struct scene *scene, size_t first, size_t n,
                                   struct error *err)
{
	struct roster roster = {};

	if (roster_build(&scene->listeners[first], n, scene->holders, scene->n_holders, &roster))
		return;
	discover_list_groups(&roster, err);
	roster_free(&roster);
}

static size_t discover_port_run(const struct scene *scene, size_t first)
{
	size_t n = 1;

	while (first + n < scene->n_listeners &&
	       scene->listeners[first + n].endpoint.port == scene->listeners[first].endpoint.port)
		n++;
	return n;
}

/* Nobody listens where it was looked. */
static int discover_nobody_listens(const struct wanted *wanted, struct error *err)
{
	if (wanted->port)
		return error_set(err, -EAGAIN, "nothing listens on port %u%s", wanted->port,
		                 wanted->family ? " of that address" : "");
	if (wanted->family)
		return error_set(err, -EAGAIN, "nothing listens on that address");
	return error_set(err, -EAGAIN, "no TCP listener was found in this network namespace%s",
	                 wanted->pid ? "" : "; --pid PID looks in that of a process");
}

/* The listeners of one port as what is wanted: 0, or why they aren't. A single listener fits only
 * if one worker was asked for. */
static int discover_try_port(const struct wanted *wanted, const struct scene *scene, size_t first,
                             size_t n, struct found *ret, struct error *err)
{
	_cleanup_found_ struct found found = {};
	int r;

	if ((n < 2 && wanted->workers != 1) ||
	    (wanted->pid && !discover_pid_holds(scene, wanted->pid, &scene->listeners[first], n)))
		return -EAGAIN;
	r = discover_build(scene, &scene->listeners[first], n, &found, err);
	if (r == 0)
		r = discover_check(wanted, &found, err);
	if (r == 0 && wanted->workers == 0 && found.roster.n_workers < 2)
		r = -EAGAIN;
	if (r < 0)
		return r;
	*ret = found;
	memset(&found, 0, sizeof(found)); /* handed on */
	return 0;
}

/* Says that no port fits and what there is, or that several do and which. */
static int discover_none_fits(const struct wanted *wanted, const struct scene *scene,
                              unsigned int fits, struct error *err)
{
	bool held = !wanted->pid;

	for (size_t i = 0; i < scene->n_listeners && !held; i++)
		held = discover_pid_holds(scene, wanted->pid, &scene->listeners[i], 1);
	if (fits)
		error_set(err, -ENOTUNIQ, "%u ports fit; choose one with --port:", fits);
	else if (!held)
		error_set(err, -EAGAIN, "pid %u has no listener; found:", wanted->pid);
	else if (wanted->workers)
		error_set(
		        err, -EAGAIN,
		        "no port has %u workers with a listener each in all of its groups; found:",
		        wanted->workers);
	else
		error_set(err, -EAGAIN, "no port has several workers with a listener each; found:");
	for (size_t i = 0, n; i < scene->n_listeners; i += n) {
		_cleanup_found_ struct found found = {};
		struct error ignored;

		n = discover_port_run(scene, i);
		if (!fits || discover_try_port(wanted, scene, i, n, &found, &ignored) == 0)
			discover_describe_port(scene, i, n, err);
	}
	if (!fits && discover_is_shared(scene))
		error_add(err, 0,
		          "\nAmong processes that share one listener there is nothing to choose "
		          "from: start\nnginx with `reuseport`, or give each worker a listener of "
		          "its own with SO_REUSEPORT");
	return fits ? -ENOTUNIQ : -EAGAIN;
}

/* Without a port: the one port that has the workers that are wanted. */
static int discover_choose_port(const struct wanted *wanted, const struct scene *scene,
                                struct found *ret, struct error *err)
{
	_cleanup_found_ struct found best = {};
	unsigned int fits = 0;

	for (size_t i = 0, n; i < scene->n_listeners; i += n) {
		struct found found = {};

		n = discover_port_run(scene, i);
		if (discover_try_port(wanted, scene, i, n, &found, err) < 0)
			continue;
		fits++;
		found_free(&best);
		best = found;
	}
	if (fits != 1)
		return discover_none_fits(wanted, scene, fits, err);
	*ret = best;
	memset(&best, 0, sizeof(best)); /* handed on */
	return 0;
}

int discover_fingerprint(const struct wanted *wanted, uint64_t *ret, struct error *err)
{
	_cleanup_free_ struct listener *listeners = NULL;
	size_t n;
	int r = sockdiag_list_listeners(wanted->port, &listeners, &n, err);

	if (r < 0)
		return r;
	*ret = n;
	for (size_t i = 0; i < n; i++) /* cookies are given out in order, and only once */
		*ret = *ret * 31 + listeners[i].cookie;
	return 0;
}

int discover(const struct wanted *wanted, struct found *ret, struct error *err)
{
	_cleanup_(discover_scene_free) struct scene scene = {};
	_cleanup_found_ struct found found = {};
	int r = discover_look(wanted, &scene, err);

	if (r < 0)
		return r;
	if (scene.n_listeners == 0)
		return discover_nobody_listens(wanted, err);
	if (!wanted->port)
		return discover_choose_port(wanted, &scene, ret, err);
	if (wanted->pid &&
	    !discover_pid_holds(&scene, wanted->pid, scene.listeners, scene.n_listeners))
		return error_set(err, -EAGAIN, "pid %u has no listener on port %u", wanted->pid,
		                 wanted->port);
	r = discover_build(&scene, scene.listeners, scene.n_listeners, &found, err);
	if (r == 0)
		r = discover_check(wanted, &found, err);
	if (r < 0)
		return r;
	*ret = found;
	memset(&found, 0, sizeof(found)); /* handed on */
	return 0;
}
