/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/worker_start.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/strv.h"
#include "kern/cgroup.h"
#include "kern/cgroup_limit.h"
#include "kern/own_listener.h"
#include "kern/proc.h"
#include "kern/sockdiag.h"
#include "kern/spawn.h"
#include "supervise/channel.h"
#include "supervise/log_link.h"
#include "supervise/oom_offer.h"
#include "supervise/plan.h"
#include "supervise/worker.h"
#include "supervise/worker_env.h"
#include "supervise/worker_log.h"

#define FIRST_FREE_FD 3   /* as sd_listen_fds(3) has it */
#define END_MS        100 /* how long the end of a killed worker is waited for */

static void worker_start_on_message(const char *text, void *data)
{
	struct worker *w = data;

	if (w->sent_ready || strcmp(text, "ready") != 0 || w->plan->config.ready != READY_MESSAGE)
		return;
	w->sent_ready = true;
	w->sup->events->may_be_ready(w);
}

static struct worker *worker_start_alloc(struct supervisor *sup, struct plan *plan)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->sup = sup;
	w->plan = plan_ref(plan);
	w->cgroup_fd = w->events_fd = w->pidfd = w->channel_worker_fd = -1;
	w->generation = RPD_ACCOUNT_NONE;
	w->end_status = -1;
	return w;
}

/* Prepares what a new worker and one that is taken over both need. Its cgroup is open. */
static int worker_start_prepare(struct worker *w, struct error *err)
{
	w->cgroup_id = cgroup_id(w->cgroup_fd);
	w->events_fd = cgroup_open_events(w->cgroup_fd);
	if (w->events_fd < 0)
		return error_set(err, w->events_fd, "can't watch cgroup %s/%s: %s",
		                 w->sup->cgroup_path, w->cgroup_name, strerror(-w->events_fd));
	return 0;
}

/* --- a new worker */

struct worker_start_files {
	struct spawn_fd fds[2 * RPD_ENDPOINT_MAX];
	size_t n;
	int opened[RPD_ENDPOINT_MAX + 3]; /* to be closed afterwards */
	size_t n_opened;
};

static void worker_start_pass_fd(struct worker_start_files *start, int fd, int target)
{
	start->fds[start->n++] = (struct spawn_fd){.fd = fd, .target = target};
}

static void worker_start_close_opened(struct worker_start_files *start)
{
	for (size_t i = 0; i < start->n_opened; i++)
		cleanup_close(&start->opened[i]);
}

/* As in PM2: programs such as development servers end when their input does. The only descriptor
 * of the pipe is open for reading and writing, so the pipe has no end. */
static int worker_start_pass_input(struct worker *w, struct worker_start_files *start,
                                   struct error *err)
{
	char path[32];
	int fds[2], fd;

	if (!w->plan->config.open_input)
		return 0;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_set(err, -errno, "slot %u: can't make a pipe for its input: %s",
		                 w->slot, strerror(errno));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[0]);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		error_set(err, fd = -errno, "slot %u: can't open the pipe for its input: %s",
		          w->slot, strerror(errno));
	close(fds[0]);
	close(fds[1]);
	if (fd < 0)
		return fd;
	start->opened[start->n_opened++] = fd;
	worker_start_pass_fd(start, fd, STDIN_FILENO);
	return 0;
}

static int worker_start_pass_output(struct worker *w, struct worker_start_files *start,
                                    struct error *err)
{
	int fds[2];
	int r = worker_log_check(&w->plan->config, w->slot, err);

	if (r >= 0)
		r = log_link_add(w, fds, err);
	if (r < 0)
		return r;
	for (int i = 0; i < 2; i++) {
		start->opened[start->n_opened++] = fds[i];
		worker_start_pass_fd(start, fds[i], STDOUT_FILENO + i);
	}
	return worker_log_share(&w->plan->config, fds, err);
}

/* If only a port is named: on all addresses, IPv6 and IPv4, as systemd's ListenStream=. */
static int worker_start_open_listener(const struct rpd_endpoint *named, int cgroup,
                                      struct error *err)
{
	struct rpd_endpoint endpoint = *named;
	int fd;

	endpoint.uid = geteuid();
	if (endpoint.family)
		return own_listener_open(&endpoint, cgroup, err);
	endpoint.family = AF_INET6;
	fd = own_listener_open(&endpoint, cgroup, err);
	if (fd != -EAFNOSUPPORT && fd != -EADDRNOTAVAIL)
		return fd;
	endpoint.family = AF_INET;
	return own_listener_open(&endpoint, cgroup, err);
}

/* Passes a listener for each entry of `listen`. It belongs to the worker's cgroup, as those that
 * the worker opens itself: so the guard acts on it (guard.h). */
static int worker_start_pass_listeners(struct worker *w, struct worker_start_files *start,
                                       struct error *err)
{
	const struct run_config *config = &w->plan->config;

	for (size_t i = 0; config->pass_sockets && i < config->n_listens; i++) {
		int fd = worker_start_open_listener(&config->listens[i], w->cgroup_fd, err);

		if (fd < 0)
			return fd;
		start->opened[start->n_opened++] = fd;
		fcntl(fd, F_SETFL, 0); /* blocking, as systemd's sockets are */
		worker_start_pass_fd(start, fd, FIRST_FREE_FD + i);
		sockdiag_socket_cookie(fd, &w->passed[w->n_passed++]);
	}
	return 0;
}

/* The worker's descriptor of the channel. */
static int worker_start_channel_fd(const struct run_config *config)
{
	return FIRST_FREE_FD + (config->pass_sockets ? config->n_listens : 0);
}

static int worker_start_pass_channel(struct worker *w, struct worker_start_files *start,
                                     struct error *err)
{
	const struct run_config *config = &w->plan->config;
	int r;

	if (!worker_env_has_channel(config))
		return 0;
	r = channel_new(w->sup->loop, w->slot, w->number, worker_start_on_message, w, &w->channel,
	                &w->channel_worker_fd, err);
	if (r < 0)
		return r;
	worker_start_pass_fd(start, w->channel_worker_fd, worker_start_channel_fd(config));
	return 0;
}

static int worker_start_spawn(struct worker *w, struct error *err)
{
	_cleanup_(worker_start_close_opened) struct worker_start_files start = {};
	const struct run_config *config = &w->plan->config;
	struct spawn_request request = {
	        .cwd = config->cwd,
	        .user = config->user,
	        .group = config->group,
	        .identity = config->identity,
	        .cgroup = w->cgroup_fd,
	        .listen_pid = config->pass_sockets,
	};
	_cleanup_strv_ char **argv = NULL;
	char **env;
	int r = worker_start_pass_channel(w, &start, err);

	if (r >= 0)
		r = worker_start_pass_input(w, &start, err);
	if (r >= 0)
		r = worker_start_pass_output(w, &start, err);
	if (r >= 0)
		r = worker_start_pass_listeners(w, &start, err);
	if (r < 0)
		return r;
	env = worker_env_new(w);
	if (!env || strv_copy(config->argv, &argv) < 0 ||
	    worker_env_set_inspector(w, env, argv) < 0 ||
	    (w->channel && worker_env_add_channel(&env, worker_start_channel_fd(config)) < 0)) {
		strv_free(env);
		return error_set(err, -ENOMEM, "out of memory");
	}
	request.argv = argv;
	request.env = env;
	request.fds = start.fds;
	request.n_fds = start.n;
	r = spawn_start(&request, &w->pidfd, err);
	strv_free(env);
	cleanup_close(&w->channel_worker_fd);
	w->channel_worker_fd = -1;
	if (r < 0)
		return r;
	w->pid = r;
	return 0;
}

/* Removes all of a worker that could not be started, or that has no process any more. */
static void worker_start_undo(struct worker *w)
{
	struct supervisor *sup = w->sup;
	char name[sizeof(w->cgroup_name)];

	strcpy(name, w->cgroup_name);
	if (w->cgroup_fd >= 0)
		cgroup_kill(w->cgroup_fd);
	log_link_note_gone(w);
	cgroup_await_empty(w->cgroup_fd, END_MS);
	worker_free(w);
	cgroup_remove(sup->cgroup_path, name);
}

static void worker_start_link(struct worker *w)
{
	w->next = w->sup->workers;
	w->sup->workers = w;
}

int worker_start(struct supervisor *sup, unsigned int slot, struct plan *plan, struct worker **ret,
                 struct error *err)
{
	struct worker *w;
	int r;

	if (plan->config.fault)
		return error_set(err, -EINVAL,
		                 "%s\nwhen that is mended, `reuseportd reload %s` starts it",
		                 plan->config.fault, sup->name);
	w = worker_start_alloc(sup, plan);
	if (!w)
		return error_set(err, -ENOMEM, "out of memory");
	w->slot = slot;
	w->number = ++sup->last_number;
	w->state = WORKER_STARTING;
	snprintf(w->cgroup_name, sizeof(w->cgroup_name), "%u-%u", slot, w->number);
	r = w->cgroup_fd = cgroup_make(sup->cgroup_path, w->cgroup_name, err);
	if (r >= 0)
		r = worker_start_prepare(w, err);
	if (r >= 0)
		r = cgroup_limit_set(w->cgroup_fd, plan->config.memory_limit,
		                     plan->config.cpu_limit, err);
	if (r >= 0)
		r = worker_start_spawn(w, err);
	if (r >= 0)
		r = worker_watch_end(w, err);
	if (r < 0) {
		worker_start_undo(w);
		return r;
	}
	worker_env_find_own_ports(w);
	oom_offer_begin(w);
	w->started_at = clock_ns(CLOCK_MONOTONIC);
	worker_arm(w, plan->config.ready_timeout);
	worker_start_link(w);
	*ret = w;
	return 0;
}

/* --- a worker of an earlier supervisor */

static int worker_start_find_main(struct worker *w)
{
	_cleanup_free_ uint32_t *pids = NULL;
	struct process oldest;
	size_t n;
	int r = cgroup_list_processes(w->cgroup_fd, &pids, &n);

	if (r == 0)
		r = proc_find_oldest(pids, n, &oldest);
	if (r < 0)
		return r;
	w->pid = oldest.id.pid;
	w->pidfd = proc_open_pidfd(oldest.id);
	return w->pidfd < 0 ? -ESRCH : 0;
}

int worker_start_take_over(struct supervisor *sup, const char *name, struct worker **ret,
                           struct error *err)
{
	struct worker *w = worker_start_alloc(sup, sup->plan);
	struct error ignored;
	int channel, r;

	if (!w)
		return error_set(err, -ENOMEM, "out of memory");
	w->state = WORKER_HELD;
	snprintf(w->cgroup_name, sizeof(w->cgroup_name), "%s", name);
	w->cgroup_fd = cgroup_open(sup->cgroup_path, name);
	if (w->cgroup_fd < 0 || sscanf(name, "%u-%u", &w->slot, &w->number) != 2 ||
	    worker_start_find_main(w) < 0) {
		worker_start_undo(w);
		return WORKER_START_EMPTY;
	}
	if (sup->last_number < w->number)
		sup->last_number = w->number;
	r = worker_start_prepare(w, err);
	if (r >= 0)
		r = worker_watch_end(w, err);
	if (r < 0) {
		worker_free(w);
		return r;
	}
	channel = log_link_take_channel(w);
	if (channel >= 0)
		channel_open(sup->loop, channel, worker_start_on_message, w, &w->channel, &ignored);
	worker_env_find_own_ports(w);
	w->started_at = w->up_at = clock_ns(CLOCK_MONOTONIC);
	worker_start_link(w);
	*ret = w;
	return WORKER_START_TAKEN_OVER;
}
