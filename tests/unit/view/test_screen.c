/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bed/unit.h"
#include "view/screen.h"
#include "view/screen_services.h"

/* A status with these workers. @workers: the elements of a JSON array. */
static struct json_object *status_of(const char *workers)
{
	char text[8192];

	snprintf(text, sizeof(text),
	         "{\"service\": \"web\", \"policy\": \"sticky\", \"strict\": true,"
	         " \"ring\": {\"length\": 7}, \"endpoints\": [{\"endpoint\": \"[::]:80\"}],"
	         " \"counters\": {\"steered\": 12, \"stray\": 0, \"dropped\": 3},"
	         " \"foreign_listeners\": [], \"workers\": [%s]}",
	         workers);
	return json_tokener_parse(text);
}

#define WORKER(slot, state, share, rate, active, queued)                                           \
	"{\"slot\": " #slot ", \"state\": \"" state                                                \
	"\", \"version\": \"v1\", "                                                                \
	"\"share_percent\": " #share ", \"rate\": " #rate ", \"active\": " #active                 \
	", "                                                                                       \
	"\"queued\": " #queued ", \"pid\": 70" #slot ", \"command\": \"nginx\"}"

static struct json_object *three(void)
{
	return status_of(WORKER(0, "active", 50.0, 3.0, 7, 0) "," WORKER(
	        1, "dead", 0.0, null, null, null) "," WORKER(2, "active", 25.0, 9.0, 8, 2));
}

static struct json_object *two_services(void)
{
	return json_tokener_parse(
	        "[{\"service\": \"api\", \"endpoint\": \"[::]:80\", \"policy\": \"round-robin\", "
	        "\"workers\": 4, \"live\": 12, \"in_ring\": 4}, "
	        "{\"service\": \"web\", \"error\": \"it is damaged\"}]");
}

/* The drawn lines, without styles. */
struct drawn {
	char *text, *lines[64];
	size_t n, erased; /* lines with an erased rest */
	size_t coloured;  /* sequences that set a colour */
};

static void remove_sequences(struct drawn *d)
{
	char *to = d->text;

	for (const char *from = d->text; *from; from++) {
		if (*from != '\033') {
			*to++ = *from;
			continue;
		}
		d->coloured += from[2] == '3';
		from += 2 + strspn(from + 2, "0123456789;");
		d->erased += *from == 'K';
		assert_non_null(strchr("mKH", *from));
	}
	*to = '\0';
}

typedef void (*draw_fn)(FILE *out, struct json_object *view, struct screen *screen);

static struct drawn draw_with(draw_fn function, struct json_object *status, struct screen *screen)
{
	struct drawn d = {};
	size_t size;
	FILE *out = open_memstream(&d.text, &size);
	char *save, *line;

	assert_non_null(out);
	function(out, status, screen);
	fclose(out);
	assert_int_equal(strncmp(d.text, "\033[H", 3), 0);
	remove_sequences(&d);
	/* Not by strtok(), which skips empty lines. */
	for (line = d.text; line; line = save) {
		save = strstr(line, "\r\n");
		if (save) {
			*save = '\0';
			save += 2;
		}
		assert_true(d.n < ARRAY_SIZE(d.lines));
		d.lines[d.n++] = line;
	}
	return d;
}

static struct drawn draw(struct json_object *status, struct screen *screen)
{
	return draw_with(screen_draw, status, screen);
}

/* The slot in line @line of the workers, or -1. */
static int slot_at(const struct drawn *d, size_t line)
{
	const char *text = d->lines[5 + line];

	return strspn(text, " >") < strlen(text) ? atoi(text + 1) : -1;
}

static void expect_order(struct json_object *status, struct screen *screen, int a, int b, int c)
{
	struct drawn d = draw(status, screen);

	assert_int_equal(slot_at(&d, 0), a);
	assert_int_equal(slot_at(&d, 1), b);
	assert_int_equal(slot_at(&d, 2), c);
	free(d.text);
}

static void lines(void **state)
{
	struct screen screen = {.rows = 10, .columns = 80, .selected = 2};
	struct json_object *status = three();
	struct drawn d = draw(status, &screen);

	assert_int_equal(d.n, 10);
	assert_string_equal(d.lines[0],
	                    "web: 2 of 3 workers take new connections, sticky, strict, ring of 7");
	assert_string_equal(d.lines[1], "endpoints [::]:80");
	assert_string_equal(d.lines[2], "rate/s 12.0  active 15  queue 2  steered 12  dropped 3  ");
	assert_string_equal(d.lines[3], "");
	assert_string_equal(d.lines[4],
	                    " SLOT STATE    VERSION  SHARE                  "
	                    "RATE/S ACTIVE QUEUE   PID COMMAND");
	assert_string_equal(d.lines[5],
	                    "    0 active   v1       50.0% ###############     "
	                    "3.0      7     0   700 nginx  ");
	assert_string_equal(d.lines[6],
	                    "    1 dead     v1        0.0%                       "
	                    "-      -     -   701 nginx  ");
	assert_string_equal(d.lines[7],
	                    ">   2 active   v1       25.0% ########            "
	                    "9.0      8     2   702 nginx  ");
	assert_string_equal(d.lines[8], "");
	assert_memory_equal(d.lines[9], "arrows select", 13);
	free(d.text);
	json_object_put(status);
}

/* A deployment has the first words of the notes. */
static void deployment(void **state)
{
	struct screen screen = {.rows = 10, .columns = 80, .selected = 2, .note = "1 s old"};
	struct json_object *status = three();
	struct drawn d;

	json_object_object_add(status, "deployment",
	                       json_tokener_parse("{\"strategy\": \"canary\", \"new\": \"v2\", "
	                                          "\"phase\": \"paused\", \"share\": 5.0}"));
	d = draw(status, &screen);
	assert_string_equal(d.lines[3], "canary to v2: paused, 5.0 %  1 s old  ");
	free(d.text);
	json_object_put(status);
}

static void blocks(void **state)
{
	struct screen screen = {
	        .rows = 10, .columns = 80, .selected = SCREEN_NO_SLOT, .utf8 = true};
	struct json_object *status = three();
	struct drawn d = draw(status, &screen);

	/* 15 columns, and half of that. */
	assert_non_null(strstr(d.lines[5], "% ███████████████  "));
	assert_non_null(strstr(d.lines[7], "% ███████▌         "));
	free(d.text);
	json_object_put(status);
}

/* HTTP responses take the place of columns of less use. */
static void responses(void **state)
{
	struct screen screen = {.rows = 10, .columns = 80, .selected = SCREEN_NO_SLOT};
	struct json_object *status = three(), *worker;
	struct drawn d;

	worker = json_object_array_get_idx(json_object_object_get(status, "workers"), 2);
	json_object_object_add(worker, "requests_per_second", json_object_new_double(1234.5));
	json_object_object_add(worker, "responses", json_tokener_parse("{\"5xx\": 17}"));
	json_object_object_add(worker, "errors_percent", json_object_new_double(1.5));
	json_object_object_add(worker, "time_to_first_byte",
	                       json_tokener_parse("{\"p99_ms\": 12.25}"));
	d = draw(status, &screen);
	assert_string_equal(d.lines[4],
	                    " SLOT STATE    VERSION  SHARE          RATE/S ACTIVE QUEUE"
	                    "   REQ/S 5XX/% P99/MS ");
	assert_non_null(strstr(d.lines[7], " 1234.5   1.5   12.2"));
	assert_non_null(strstr(d.lines[5], " -     -      -"));
	free(d.text);
	screen.columns = 120;
	d = draw(status, &screen);
	assert_non_null(strstr(d.lines[4], "QUEUE   REQ/S 5XX/% P99/MS   PID COMMAND"));
	free(d.text);
	json_object_put(status);
}

/* Draws a view with a function at all sizes. */
static void expect_fits(draw_fn function, struct json_object *status, bool help)
{
	for (unsigned int rows = 1; rows <= 30; rows++)
		for (unsigned int columns = 1; columns <= 300; columns += 7) {
			struct screen screen = {
			        .rows = rows, .columns = columns, .selected = 1, .help = help};
			struct drawn d = draw_with(function, status, &screen);
			size_t full = 0;

			assert_true(d.n <= rows);
			for (size_t i = 0; i < d.n; i++) {
				assert_true(strlen(d.lines[i]) <= columns);
				full += strlen(d.lines[i]) == columns;
			}
			/* To erase after the last column would erase that column. */
			assert_int_equal(full + d.erased, d.n);
			free(d.text);
		}
	json_object_put(status);
}

/* Nothing is drawn outside of the screen, however small. */
static void sizes(void **state)
{
	expect_fits(screen_draw, three(), false);
	expect_fits(screen_draw, three(), true);
	expect_fits(screen_services_draw, two_services(), false);
	expect_fits(screen_services_draw, two_services(), true);
}

/* Without colours, the text is the same. */
static void colours(void **state)
{
	struct screen screen = {.rows = 10, .columns = 80, .selected = SCREEN_NO_SLOT};
	struct json_object *status = three();
	struct drawn plain = draw(status, &screen), coloured;

	screen.colour = true;
	coloured = draw(status, &screen);
	assert_int_equal(plain.coloured, 0);
	assert_int_equal(coloured.coloured, 6); /* the state and the bar of each worker */
	for (size_t i = 0; i < plain.n; i++)
		assert_string_equal(plain.lines[i], coloured.lines[i]);
	free(plain.text);
	free(coloured.text);
	json_object_put(status);
}

static void help(void **state)
{
	struct screen screen = {.rows = 24, .columns = 80, .selected = 1, .help = true};
	struct json_object *status = three();
	struct drawn d = draw(status, &screen);

	assert_int_equal(d.n, 24);
	assert_memory_equal(d.lines[0], "web: 2 of 3", 11);
	assert_memory_equal(d.lines[4], "KEYS", 4);
	assert_string_equal(
	        d.lines[12],
	        "v                show only the workers of the next version, at last all");
	assert_memory_equal(d.lines[23], "arrows select", 13);
	free(d.text);
	json_object_put(status);
}

static void expect_version(struct json_object *status, struct screen *screen, const char *version,
                           const char *note, int first)
{
	struct drawn d;

	screen->selected = 2;
	screen_next_version(status, screen);
	assert_string_equal(screen->version, version);
	assert_int_equal(screen->selected, SCREEN_NO_SLOT);
	d = draw(status, screen);
	assert_string_equal(d.lines[3], note);
	assert_int_equal(slot_at(&d, 0), first);
	free(d.text);
}

/* Versions come in the order of the slots, each once. */
static void versions(void **state)
{
	struct screen screen = {.rows = 10, .columns = 80};
	struct json_object *status = three();
	struct json_object *workers = json_object_object_get(status, "workers");

	json_object_object_add(json_object_array_get_idx(workers, 1), "version",
	                       json_object_new_string("v0"));
	expect_version(status, &screen, "v1", "only version v1: 2 workers  ", 0);
	expect_version(status, &screen, "v0", "only version v0: 1 worker  ", 1);
	expect_version(status, &screen, "", "", 0);
	expect_version(status, &screen, "v1", "only version v1: 2 workers  ", 0);
	/* No worker of the version is left. */
	for (int slot = 0; slot < 3; slot += 2)
		json_object_object_add(json_object_array_get_idx(workers, slot), "version",
		                       json_object_new_string("v2"));
	expect_version(status, &screen, "", "", 0);
	json_object_put(status);
}

static void service_list(void **state)
{
	struct screen screen = {.rows = 6, .columns = 80};
	struct json_object *services = two_services();
	struct drawn d = draw_with(screen_services_draw, services, &screen);

	assert_int_equal(d.n, 6);
	assert_string_equal(d.lines[0], "2 services");
	assert_string_equal(d.lines[1], "  SERVICE ENDPOINT POLICY      WORKERS LIVE IN RING");
	assert_string_equal(d.lines[2], "> api     [::]:80  round-robin       4   12       4");
	assert_string_equal(d.lines[3], "  web     it is damaged");
	assert_memory_equal(d.lines[5], "arrows select  Enter show", 25);
	assert_string_equal(screen_services_selected(services, &screen), "api");
	free(d.text);
	screen_services_move(services, &screen, 5);
	assert_string_equal(screen_services_selected(services, &screen), "web");
	/* On a screen for one service. */
	screen.rows = 4;
	d = draw_with(screen_services_draw, services, &screen);
	assert_memory_equal(d.lines[2], "> web", 5);
	free(d.text);
	screen_services_move(services, &screen, -5);
	assert_string_equal(screen_services_selected(services, &screen), "api");
	json_object_put(services);
	/* All are gone. */
	services = json_object_new_array();
	screen.selected = 1;
	d = draw_with(screen_services_draw, services, &screen);
	assert_string_equal(d.lines[0], "0 services");
	assert_null(screen_services_selected(services, &screen));
	free(d.text);
	json_object_put(services);
}

/* Unknown values come last; equal ones are sorted by slot. */
static void sorting(void **state)
{
	struct screen screen = {.rows = 24, .columns = 80, .selected = SCREEN_NO_SLOT};
	struct json_object *status = three();

	expect_order(status, &screen, 0, 1, 2);
	screen.sort = SCREEN_BY_SHARE;
	expect_order(status, &screen, 0, 2, 1);
	screen.sort = SCREEN_BY_RATE;
	expect_order(status, &screen, 2, 0, 1);
	screen.sort = SCREEN_BY_ACTIVE;
	expect_order(status, &screen, 2, 0, 1);
	screen.reversed = true;
	expect_order(status, &screen, 1, 0, 2);
	screen.sort = SCREEN_BY_SLOT;
	expect_order(status, &screen, 2, 1, 0);
	json_object_put(status);
}

/* On a screen for two workers. */
static void selecting(void **state)
{
	struct screen screen = {.rows = 8, .columns = 80, .selected = SCREEN_NO_SLOT};
	struct json_object *status = three(), *none = status_of("");
	struct drawn d;

	screen_move(none, &screen, 1);
	assert_int_equal(screen.selected, SCREEN_NO_SLOT);
	d = draw(status, &screen);
	assert_int_equal(screen.page, 2);
	assert_string_equal(d.lines[3], "workers 1 to 2 of 3  ");
	free(d.text);
	screen_move(status, &screen, 1);
	assert_int_equal(screen.selected, 0);
	screen_move(status, &screen, -1);
	assert_int_equal(screen.selected, 0);
	screen_move(status, &screen, 100);
	assert_int_equal(screen.selected, 2);
	d = draw(status, &screen);
	assert_int_equal(screen.first, 1);
	assert_int_equal(slot_at(&d, 1), 2);
	free(d.text);
	/* The worker is selected, not the line. */
	screen.sort = SCREEN_BY_RATE;
	d = draw(status, &screen);
	assert_int_equal(screen.first, 0);
	assert_int_equal(slot_at(&d, 0), 2);
	assert_int_equal(screen.selected, 2);
	free(d.text);
	/* It is gone. */
	d = draw(none, &screen);
	assert_int_equal(screen.selected, SCREEN_NO_SLOT);
	free(d.text);
	json_object_put(status);
	json_object_put(none);
}

static void messages(void **state)
{
	struct screen screen = {
	        .rows = 14,
	        .columns = 20,
	        .selected = 0,
	        .note = "3 s old",
	        .message =
	                "slot 0: drain would\nleave no live worker, anunbreakablewordof30columns"};
	struct json_object *status = three();
	struct drawn d = draw(status, &screen);

	assert_string_equal(d.lines[3], "3 s old  ");
	assert_int_equal(d.n, 14);
	assert_string_equal(d.lines[9], "slot 0: drain would");
	assert_string_equal(d.lines[10], "leave no live");
	assert_string_equal(d.lines[11], "worker,");
	assert_string_equal(d.lines[12], "anunbreakablewordof3");
	assert_string_equal(d.lines[13], "0columns");
	free(d.text);
	json_object_put(status);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(lines),     cmocka_unit_test(blocks),
	        cmocka_unit_test(responses), cmocka_unit_test(deployment),
	        cmocka_unit_test(sizes),     cmocka_unit_test(sorting),
	        cmocka_unit_test(selecting), cmocka_unit_test(messages),
	        cmocka_unit_test(colours),   cmocka_unit_test(help),
	        cmocka_unit_test(versions),  cmocka_unit_test(service_list),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
