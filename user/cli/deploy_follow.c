/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/deploy_follow.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json_read.h"
#include "base/memory.h"
#include "cli/terminal.h"
#include "service/deployment_file.h"
#include "view/answer.h"
#include "view/deployment_view.h"
#include "view/escape_view.h"

#define DEPLOY_FOLLOW_PAUSE_NS 200000000

/* What is shown. */
struct deploy_screen {
	bool terminal, utf8;
	unsigned int rows;          /* that the last drawing has taken */
	struct json_object *before; /* in the last line */
};

/* Whether there is nothing more to follow: it has ended, or waits. */
static bool deploy_follow_is_over(struct json_object *deployment)
{
	return deployment_view_has_ended(deployment) || deployment_view_waits(deployment);
}

/* Draws over the last drawing, which has to be on the screen. Lines are cut: one that wraps would
 * take two rows. The cursor can stay behind the last character of a row, which an erasure after it
 * would take away. */
static void deploy_follow_draw(struct deploy_screen *screen, struct json_object *deployment)
{
	const bool is_last = deploy_follow_is_over(deployment);
	_cleanup_free_ char *text = NULL;
	unsigned int rows, columns;
	size_t size;
	FILE *out = memory_need(open_memstream(&text, &size));
	char *rest, *line;

	deployment_view_draw(out, deployment, screen->utf8);
	memory_need(memory_close_text(out, &text));
	terminal_size(&rows, &columns);
	if (screen->rows)
		printf("\033[%uA", screen->rows);
	screen->rows = 0;
	for (rest = text; (line = strsep(&rest, "\n")) && rest; screen->rows++) {
		if (!is_last && screen->rows + 1 >= rows)
			break;
		printf("\033[K%.*s\n", (int)terminal_fit(line, columns), line);
	}
	fputs("\033[J", stdout);
	fflush(stdout);
}

static void deploy_follow_print(struct deploy_screen *screen, struct json_object *deployment)
{
	struct json_object *shown = NULL;

	if (json_object_deep_copy(deployment, &shown, NULL) < 0)
		memory_need(NULL);
	escape_view(shown);
	if (screen->terminal) {
		deploy_follow_draw(screen, shown);
	} else if (deployment_view_has_news(shown, screen->before)) {
		deployment_view_print_line(stdout, shown);
		fflush(stdout);
	}
	json_object_put(screen->before);
	screen->before = shown;
}

/* @version: "new" or "old". */
static int deploy_follow_fail(struct error *err, int status, struct json_object *deployment,
                              const char *version, const char *what)
{
	const char *reason = json_read_text(deployment, "reason");

	error_set(err, -ECANCELED, "%s %s%s%s", json_read_text(deployment, version), what,
	          reason && reason[0] ? ": " : "", reason ? reason : "");
	if (err)
		err->status = status;
	return -ECANCELED;
}

/* What the command returns for a deployment that has ended, or waits. */
static int deploy_follow_judge(struct json_object *deployment, struct error *err)
{
	if (deployment_view_is(deployment, "phase", "healthy"))
		return 0;
	if (deployment_view_is(deployment, "outcome", "rolled-back"))
		return deploy_follow_fail(err, DEPLOY_FOLLOW_BAD, deployment, "old",
		                          "was rolled back");
	if (!deployment_view_has_ended(deployment))
		return deploy_follow_fail(err, DEPLOY_FOLLOW_WAITS, deployment, "new",
		                          "waits for `promote` or `abort`");
	if (deployment_view_is(deployment, "verdict", "bad"))
		return deploy_follow_fail(err, DEPLOY_FOLLOW_BAD, deployment, "new",
		                          "was judged bad");
	return deploy_follow_fail(err, EXIT_REFUSED, deployment, "new", "was not promoted");
}

/* Returns 0 and *ret, or a negative errno with @err set. */
static int deploy_follow_read(const struct deploy_follow *follow, struct json_object **ret,
                              struct error *err)
{
	int r = deployment_file_read(follow->service, ret, err);

	if (r == DEPLOYMENT_NONE)
		return error_set(err, -ENOENT, "service '%s' has had no deployment",
		                 follow->service);
	if (r < 0 || !follow->id || json_read_number(*ret, "id") == follow->id)
		return r;
	json_object_put(*ret);
	return error_set(err, -ECANCELED,
	                 "another deployment of service '%s' has begun; `rollout --history` "
	                 "shows how this one has ended",
	                 follow->service);
}

static int deploy_follow_time_over(const struct deploy_follow *follow, struct error *err)
{
	error_set(err, -ETIMEDOUT,
	          "the time is over; the deployment goes on: `reuseportd rollout %s`",
	          follow->service);
	if (err)
		err->status = DEPLOY_FOLLOW_TIME_OVER;
	return -ETIMEDOUT;
}

int deploy_follow(const struct deploy_follow *follow, struct error *err)
{
	const struct timespec pause = {.tv_nsec = DEPLOY_FOLLOW_PAUSE_NS};
	const int64_t begin = clock_ns(CLOCK_MONOTONIC);
	struct deploy_screen screen = {.terminal = !follow->json && isatty(STDOUT_FILENO),
	                               .utf8 = terminal_is_utf8()};
	struct json_object *deployment = NULL;
	int r;

	for (;;) {
		r = deploy_follow_read(follow, &deployment, err);
		if (r < 0)
			break;
		if (!follow->json)
			deploy_follow_print(&screen, deployment);
		if (deploy_follow_is_over(deployment))
			r = deploy_follow_judge(deployment, err);
		else if (follow->timeout >= 0 &&
		         clock_ns(CLOCK_MONOTONIC) - begin >= follow->timeout)
			r = deploy_follow_time_over(follow, err);
		else
			r = 1;
		if (r <= 0)
			break;
		json_object_put(TAKE_PTR(deployment));
		nanosleep(&pause, NULL);
	}
	if (follow->json && deployment)
		answer_print(json_object_get(deployment), true, NULL);
	json_object_put(deployment);
	json_object_put(screen.before);
	return r;
}
