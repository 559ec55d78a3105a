/* SPDX-License-Identifier: BSD-2-Clause */
/* `top`: reads the status of the service each second, and drains and resumes workers by key. The
 * service is open and locked only while its status is read or changed. */
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
#include "base/strv.h"
#include "cli/drain_change.h"
#include "cli/positional.h"
#include "view/service_status.h"
#include "cli/terminal.h"
#include "kern/pins.h"
#include "view/escape_view.h"
#include "view/outcome_view.h"
#include "view/screen.h"

#define READ_INTERVAL_MS 1000
#define READ_PATIENCE_MS 50 /* how long to wait for the lock: the next read is a second away */

struct top {
	char service[RPD_LABEL_MAX];
	struct terminal terminal;
	struct screen screen;
	struct json_object *status;
	double read_s; /* when the status was read, CLOCK_MONOTONIC */
	int signal_fd;
	bool quit, detached;
	char note[80], message[ERROR_TEXT_MAX + 32];
};

static void cmd_top_free(struct top *top)
{
	terminal_leave(&top->terminal);
	json_object_put(top->status);
	cleanup_close(&top->signal_fd);
}

/* Reads the status of service @name (NULL = the only one). Returns what service_try_open() does. */
static int cmd_top_read_named(struct top *top, const char *name, struct error *err)
{
	struct json_object *status;
	int r = service_status_read_named(name, WORKER_VIEW_TABLE, &status, err);

	if (r != SERVICE_OPEN)
		return r;
	snprintf(top->service, sizeof(top->service), "%s", json_read_text(status, "service"));
	json_object_put(top->status);
	escape_view(status);
	top->status = status;
	top->read_s = clock_s(CLOCK_MONOTONIC);
	return 0;
}

/* Reads the status again. While another command has the lock, the old numbers stay. */
static int cmd_top_read(struct top *top, struct error *err)
{
	int r;

	pins_set_waiting(pins_never_wait, READ_PATIENCE_MS);
	r = cmd_top_read_named(top, top->service, err);
	top->screen.note = NULL;
	if (r == SERVICE_LOCKED) {
		snprintf(top->note, sizeof(top->note), "%.0f s old: another command is at work",
		         clock_s(CLOCK_MONOTONIC) - top->read_s);
		top->screen.note = top->note;
		return 0;
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
	screen_draw(out, top->status, &top->screen);
	if (fclose(out) == 0)
		terminal_write(&top->terminal, text, n);
}

/* Sets up the terminal, at the start and after a suspension. */
static int cmd_top_enter(struct top *top, struct error *err)
{
	terminal_size(&top->screen.rows, &top->screen.columns);
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

static int cmd_top_on_key(struct top *top, int key, struct error *err)
{
	struct screen *screen = &top->screen;
	long page = screen->page;
	int r = 0;

	screen->message = NULL; /* the user has read it */
	switch (key) {
	case 'q':
	case KEY_GONE:
		top->quit = true;
		break;
	case 'k':
	case KEY_UP:
		screen_move(top->status, screen, -1);
		break;
	case 'j':
	case KEY_DOWN:
		screen_move(top->status, screen, 1);
		break;
	case KEY_PAGE_UP:
		screen_move(top->status, screen, -page);
		break;
	case KEY_PAGE_DOWN:
		screen_move(top->status, screen, page);
		break;
	case 'g':
	case KEY_HOME:
		screen_move(top->status, screen, -RPD_SLOT_MAX);
		break;
	case 'G':
	case KEY_END:
		screen_move(top->status, screen, RPD_SLOT_MAX);
		break;
	case 's':
		screen->sort = (screen->sort + 1) % SCREEN_SORT_MAX;
		break;
	case 'r':
		screen->reversed = !screen->reversed;
		break;
	case 'd':
		r = cmd_top_change(top, true, err);
		break;
	case 'R':
	case 'u':
		r = cmd_top_change(top, false, err);
		break;
	}
	return r;
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
		terminal_size(&top->screen.rows, &top->screen.columns);
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
		r = cmd_top_read_named(&top, i->service, err);
	if (r != SERVICE_OPEN)
		return r < 0 ? r : -ENOENT;
	top.screen.utf8 = terminal_is_utf8();
	r = cmd_top_run(&top, err);
	terminal_leave(&top.terminal);
	if (!top.detached)
		return r;
	outcome_view_print_end(stdout, top.service);
	return 0;
}
