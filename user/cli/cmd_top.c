/* SPDX-License-Identifier: BSD-2-Clause */
/* `top`: reads the status of the service each second, and drains and resumes workers by key; or
 * reads the list of the services. A service is open and locked only while it is read or changed. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/escape.h"
#include "base/json_read.h"
#include "base/memory.h"
#include "base/strv.h"
#include "cli/drain_change.h"
#include "cli/positional.h"
#include "view/service_status.h"
#include "cli/terminal.h"
#include "kern/pins.h"
#include "service/service_each.h"
#include "view/error_share.h"
#include "view/escape_view.h"
#include "view/list_read.h"
#include "view/list_view.h"
#include "view/outcome_view.h"
#include "view/screen.h"
#include "view/screen_services.h"

#define READ_INTERVAL_MS 1000
#define READ_PATIENCE_MS 50 /* how long to wait for the lock: the next read is a second away */

struct top {
	char service[RPD_LABEL_MAX];
	struct terminal terminal;
	struct screen screen, list; /* of the service, and of the list of services */
	bool listing;               /* the list is shown */
	bool several;               /* it began with the list: the end of a service leads there */
	struct json_object *status, *services;
	double read_s; /* when the status was read, CLOCK_MONOTONIC */
	int signal_fd;
	bool quit, detached;
	char note[80], message[ERROR_TEXT_MAX + 32];
};

static void cmd_top_free(struct top *top)
{
	terminal_leave(&top->terminal);
	json_object_put(top->status);
	json_object_put(top->services);
	cleanup_close(&top->signal_fd);
}

/* Reads the status of service @name (NULL = the only one). Returns what service_try_open() does. */
static int cmd_top_read_named(struct top *top, const char *name, struct error *err)
{
	struct json_object *status;
	int r = service_status_read_named(name, WORKER_VIEW_TABLE, &status, err);

	if (r != SERVICE_OPEN)
		return r;
	if (top->status && !strcmp(top->service, json_read_text(status, "service")))
		error_share_add(status, top->status);
	snprintf(top->service, sizeof(top->service), "%s", json_read_text(status, "service"));
	json_object_put(top->status);
	escape_view(status);
	top->status = status;
	top->read_s = clock_s(CLOCK_MONOTONIC);
	return 0;
}

/* Reads the list of services again. */
static int cmd_top_read_services(struct top *top, struct error *err)
{
	struct json_object *services = list_view_new();
	int r = service_each(list_read_add, services, READ_PATIENCE_MS, err);

	if (r < 0) {
		json_object_put(services);
		return r;
	}
	escape_view(services);
	json_object_put(top->services);
	top->services = services;
	return 0;
}

static int cmd_top_show_list(struct top *top, struct error *err)
{
	top->listing = true;
	return cmd_top_read_services(top, err);
}

/* Shows service @name; if that fails, says why. */
static bool cmd_top_show_service(struct top *top, const char *name)
{
	struct error why;
	int r;

	pins_set_waiting(pins_never_wait, READ_PATIENCE_MS);
	r = cmd_top_read_named(top, name, &why);
	if (r != SERVICE_OPEN) {
		escape_text(top->message, sizeof(top->message), why.text, ESCAPE_LINES);
		(top->listing ? &top->list : &top->screen)->message = top->message;
		return false;
	}
	top->listing = false;
	top->screen.note = top->screen.message = NULL;
	top->screen.version[0] = '\0';
	top->screen.selected = SCREEN_NO_SLOT;
	top->screen.first = 0;
	return true;
}

/* Shows the service after the shown one that can be read; the first follows the last. */
static int cmd_top_show_next(struct top *top, struct error *err)
{
	_cleanup_free_ char(*names)[RPD_LABEL_MAX] = NULL;
	size_t n = 0, at = 0;
	int r = pins_list_services(&names, &n, err);

	if (r < 0)
		return r;
	while (at < n && strcmp(names[at], top->service) <= 0)
		at++;
	for (size_t i = 0; i < n; i++) {
		const char *name = names[(at + i) % n];

		if (strcmp(name, top->service) != 0 && cmd_top_show_service(top, name))
			return 0;
	}
	if (!top->screen.message)
		top->screen.message = "there is no other service";
	return 0;
}

/* Reads the status again. While another command has the lock, the old numbers stay. */
static int cmd_top_read(struct top *top, struct error *err)
{
	int r;

	if (top->listing)
		return cmd_top_read_services(top, err);
	pins_set_waiting(pins_never_wait, READ_PATIENCE_MS);
	r = cmd_top_read_named(top, top->service, err);
	top->screen.note = NULL;
	if (r == SERVICE_LOCKED) {
		snprintf(top->note, sizeof(top->note), "%.0f s old: another command is at work",
		         clock_s(CLOCK_MONOTONIC) - top->read_s);
		top->screen.note = top->note;
		return 0;
	}
	if (r == SERVICE_NONE && top->several) {
		snprintf(top->message, sizeof(top->message), "%s: detached", top->service);
		top->list.message = top->message;
		return cmd_top_show_list(top, err);
	}
	top->detached = r == SERVICE_NONE;
	return r == SERVICE_NONE ? -ENOENT : r;
}

static void cmd_top_draw(struct top *top)
{
	_cleanup_free_ char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	if (!out)
		return;
	if (top->listing)
		screen_services_draw(out, top->services, &top->list);
	else
		screen_draw(out, top->status, &top->screen);
	if (memory_close_text(out, &text))
		terminal_write(&top->terminal, text, n);
}

static void cmd_top_measure(struct top *top)
{
	terminal_size(&top->screen.rows, &top->screen.columns);
	top->list.rows = top->screen.rows;
	top->list.columns = top->screen.columns;
}

/* Sets up the terminal, at the start and after a suspension. */
static int cmd_top_enter(struct top *top, struct error *err)
{
	cmd_top_measure(top);
	return terminal_enter(&top->terminal, err);
}

/* Drains or resumes the selected worker. If that is refused, the reason is shown. */
static int cmd_top_change(struct top *top, bool drained, struct error *err)
{
	int slot = top->screen.selected;
	struct error why;
	char text[sizeof(top->message)];

	if (slot == SCREEN_NO_SLOT) {
		snprintf(top->message, sizeof(top->message),
		         "no worker is selected: select one with the arrow keys");
		top->screen.message = top->message;
		return 0;
	}
	pins_set_waiting(pins_never_wait, PINS_PATIENCE_MS);
	if (drain_change_slot(top->service, slot, drained, &why) < 0) {
		snprintf(text, sizeof(text), "slot %d: %s", slot, why.text);
		escape_text(top->message, sizeof(top->message), text, ESCAPE_LINES);
		top->screen.message = top->message;
	}
	return cmd_top_read(top, err);
}

static void cmd_top_move(struct top *top, long by)
{
	if (top->listing)
		screen_services_move(top->services, &top->list, by);
	else
		screen_move(top->status, &top->screen, by);
}

/* Whether @key moves the selection. */
static bool cmd_top_on_arrow(struct top *top, int key)
{
	const long page = (long)(top->listing ? top->list.page : top->screen.page);
	const struct {
		int key, letter;
		long by;
	} moves[] = {
	        {KEY_UP, 'k', -1},
	        {KEY_DOWN, 'j', 1},
	        {KEY_PAGE_UP, KEY_PAGE_UP, -page},
	        {KEY_PAGE_DOWN, KEY_PAGE_DOWN, page},
	        {KEY_HOME, 'g', -RPD_SLOT_MAX},
	        {KEY_END, 'G', RPD_SLOT_MAX},
	};

	for (size_t i = 0; i < ARRAY_SIZE(moves); i++) {
		if (key != moves[i].key && key != moves[i].letter)
			continue;
		cmd_top_move(top, moves[i].by);
		return true;
	}
	return false;
}

/* A key that only the list of services has. */
static void cmd_top_on_list_key(struct top *top, int key)
{
	const char *name = screen_services_selected(top->services, &top->list);

	if (key == '\r' && name)
		cmd_top_show_service(top, name);
}

/* A key that only a service has. */
static int cmd_top_on_service_key(struct top *top, int key, struct error *err)
{
	struct screen *screen = &top->screen;

	switch (key) {
	case 's':
		screen->sort = (screen->sort + 1) % SCREEN_SORT_MAX;
		return 0;
	case 'r':
		screen->reversed = !screen->reversed;
		return 0;
	case 'v':
		screen_next_version(top->status, screen);
		return 0;
	case 'n':
	case '\t':
		return cmd_top_show_next(top, err);
	case 'l':
		top->several = true;
		return cmd_top_show_list(top, err);
	case 'd':
		return cmd_top_change(top, true, err);
	case 'R':
	case 'u':
		return cmd_top_change(top, false, err);
	default:
		return 0;
	}
}

static int cmd_top_on_key(struct top *top, int key, struct error *err)
{
	struct screen *screen = top->listing ? &top->list : &top->screen;
	const bool help = screen->help;

	screen->message = NULL; /* the user has read it */
	screen->help = key == '?' && !help;
	if (key == 'q' || key == KEY_GONE)
		top->quit = true;
	else if (key == '?' || help || cmd_top_on_arrow(top, key))
		return 0;
	else if (top->listing)
		cmd_top_on_list_key(top, key);
	else
		return cmd_top_on_service_key(top, key, err);
	return 0;
}

/* Ctrl-Z: restores the terminal until the shell continues the process. The kernel does not stop a
 * process group that no shell could continue (an orphaned one). */
static int cmd_top_suspend(struct top *top, struct error *err)
{
	sigset_t stop;

	terminal_leave(&top->terminal);
	sigemptyset(&stop);
	sigaddset(&stop, SIGTSTP);
	raise(SIGTSTP);
	sigprocmask(SIG_UNBLOCK, &stop, NULL);
	sigprocmask(SIG_BLOCK, &stop, NULL);
	return cmd_top_enter(top, err);
}

static int cmd_top_on_signal(struct top *top, struct error *err)
{
	struct signalfd_siginfo info;

	if (read(top->signal_fd, &info, sizeof(info)) != sizeof(info))
		return 0;
	switch (info.ssi_signo) {
	case SIGWINCH:
		cmd_top_measure(top);
		terminal_clear(&top->terminal);
		return 0;
	case SIGTSTP:
		return cmd_top_suspend(top, err);
	default:
		top->quit = true;
		return 0;
	}
}

/* Blocked before the terminal is changed, so that no signal ends the process before it is restored.
 */
static int cmd_top_block_signals(struct top *top, struct error *err)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaddset(&set, signals[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	top->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return top->signal_fd < 0
	               ? error_set(err, -errno, "can't receive signals: %s", strerror(errno))
	               : 0;
}

/* Waits for the next read, a key or a signal, and handles it. */
static int cmd_top_step(struct top *top, uint64_t *next_read, struct error *err)
{
	struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
	                       {.fd = top->signal_fd, .events = POLLIN}};
	uint64_t now = (uint64_t)(clock_ns(CLOCK_MONOTONIC) / 1000000);
	int key, r = 0;

	poll(fds, ARRAY_SIZE(fds), *next_read > now ? (int)(*next_read - now) : 0);
	if (fds[1].revents)
		r = cmd_top_on_signal(top, err);
	while (r == 0 && !top->quit && (key = terminal_key()) != KEY_NONE)
		r = cmd_top_on_key(top, key, err);
	now = (uint64_t)(clock_ns(CLOCK_MONOTONIC) / 1000000);
	if (r == 0 && !top->quit && now >= *next_read) {
		r = cmd_top_read(top, err);
		*next_read = now + READ_INTERVAL_MS;
	}
	return r;
}

static int cmd_top_run(struct top *top, struct error *err)
{
	uint64_t next_read = (uint64_t)(clock_ns(CLOCK_MONOTONIC) / 1000000) + READ_INTERVAL_MS;
	int r = cmd_top_block_signals(top, err);

	if (r == 0)
		r = cmd_top_enter(top, err);
	while (r == 0 && !top->quit) {
		cmd_top_draw(top);
		r = cmd_top_step(top, &next_read, err);
	}
	return r;
}

/* Reads service @name, or the only one; or the list of services if there are several. */
static int cmd_top_begin(struct top *top, const char *name, struct error *err)
{
	_cleanup_free_ char(*names)[RPD_LABEL_MAX] = NULL;
	size_t n = 0;
	int r = name ? 0 : pins_list_services(&names, &n, err);

	if (r < 0)
		return r;
	top->several = n > 1;
	return n > 1 ? cmd_top_show_list(top, err) : cmd_top_read_named(top, name, err);
}

int cmd_top(struct invocation *i, struct error *err)
{
	_cleanup_(cmd_top_free) struct top top = {
	        .terminal = TERMINAL_NONE,
	        .screen.selected = SCREEN_NO_SLOT,
	        .signal_fd = -1,
	};
	int r = positional_take_service(i, err);

	if (r == 0)
		r = terminal_check(err);
	if (r == 0)
		r = cmd_top_begin(&top, i->service, err);
	if (r != SERVICE_OPEN)
		return r < 0 ? r : -ENOENT;
	top.screen.utf8 = terminal_is_utf8();
	top.screen.colour = terminal_has_colour();
	r = cmd_top_run(&top, err);
	terminal_leave(&top.terminal);
	if (!top.detached)
		return r;
	outcome_view_print_end(stdout, top.service);
	return 0;
}
