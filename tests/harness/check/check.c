/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A case that fails is left the way pthread_exit() leaves a thread: _Unwind_ForcedUnwind() runs the
 * cleanup of each frame (they have some as all of tests/ is compiled with -fexceptions), and the
 * frame that called the case is entered again by longjmp().
 */
#include "check/check.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <unwind.h>

#include "base/cleanup.h"
#include "check/namespaces.h"

#define CASE_S     (240 * deadline_factor()) /* a case that takes longer hangs */
#define AT_END_MAX 16
#define WORDS_MAX  64

enum check_result { CHECK_PASSED, CHECK_FAILED, CHECK_SKIPPED, CHECK_RESULT_MAX };

/* How the case went: shared with its children. */
static struct outcome {
	_Atomic(enum check_result) result;
	char text[2048];
} * outcome;

static const struct check_case *volatile running;
static pid_t owner; /* the process that runs the case */
static jmp_buf end_of_case;
static void *case_frame; /* of the function that runs it */

static void (*at_end[AT_END_MAX])(void);
static size_t n_at_end;

void check_at_end(void (*end)(void))
{
	for (size_t i = 0; i < n_at_end; i++)
		if (at_end[i] == end)
			return;
	CHECK(n_at_end < AT_END_MAX);
	at_end[n_at_end++] = end;
}

static _Unwind_Reason_Code check_stop_unwinding(int version, _Unwind_Action actions,
                                                _Unwind_Exception_Class class,
                                                struct _Unwind_Exception *exception,
                                                struct _Unwind_Context *context, void *data)
{
	const bool beyond = (uintptr_t)_Unwind_GetCFA(context) > (uintptr_t)case_frame;

	if (beyond || actions & _UA_END_OF_STACK)
		longjmp(end_of_case, 1);
	return _URC_NO_REASON;
}

/* The outcome is set. */
__attribute__((noreturn)) static void check_leave_case(void)
{
	static struct _Unwind_Exception exception;

	if (getpid() != owner)
		_exit(1);
	if (gettid() != owner) {
		dprintf(STDOUT_FILENO, "FAILED %s: checks in a thread: %s\n", running->name,
		        outcome->text);
		_exit(1);
	}
	memset(&exception, 0, sizeof(exception));
	_Unwind_ForcedUnwind(&exception, check_stop_unwinding, NULL);
	abort();
}

/* The first result counts. */
static bool check_set_result(enum check_result result)
{
	enum check_result none = CHECK_PASSED;

	return atomic_compare_exchange_strong(&outcome->result, &none, result);
}

void check_fail(const char *file, int line, const char *format, ...)
{
	const char *base = strrchr(file, '/');
	va_list args;
	int n;

	if (check_set_result(CHECK_FAILED)) {
		n = snprintf(outcome->text, sizeof(outcome->text),
		             "%s:%d: ", base ? base + 1 : file, line);
		va_start(args, format);
		vsnprintf(outcome->text + n, sizeof(outcome->text) - (size_t)n, format, args);
		va_end(args);
	}
	check_leave_case();
}

void check_skip(const char *format, ...)
{
	va_list args;

	if (check_set_result(CHECK_SKIPPED)) {
		va_start(args, format);
		vsnprintf(outcome->text, sizeof(outcome->text), format, args);
		va_end(args);
	}
	check_leave_case();
}

/* setjmp() returns to this function twice, so it does nothing else. */
__attribute__((noinline)) static void check_call(const struct check_case *it)
{
	case_frame = __builtin_frame_address(0);
	if (setjmp(end_of_case))
		return;
	if (it->run)
		it->run();
	else
		it->run_with(it->data);
}

static void check_call_here(const struct check_case *it)
{
	owner = getpid();
	n_at_end = 0;
	check_call(it);
	while (n_at_end > 0)
		at_end[--n_at_end]();
}

static void check_call_apart(const struct check_case *it)
{
	const pid_t child = fork();
	int status;

	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		check_call_here(it);
		_exit(0);
	}
	owner = getpid();
	if (child < 0 || waitpid(child, &status, 0) != child)
		status = -1;
	if (status != 0 && check_set_result(CHECK_FAILED))
		snprintf(outcome->text, sizeof(outcome->text), "its process ended with status %#x",
		         (unsigned int)status);
}

/* Cleans nothing up, since what hangs might hang again; the end of the process does that. */
static void check_on_alarm(int signal)
{
	dprintf(STDOUT_FILENO, "FAILED %s: hangs\n", running->name);
	_exit(1);
}

static enum check_result check_run_once(const struct check_case *it)
{
	outcome->result = CHECK_PASSED;
	outcome->text[0] = '\0';
	running = it;
	alarm((unsigned int)CASE_S);
	if (it->apart)
		check_call_apart(it);
	else
		check_call_here(it);
	alarm(0);
	return outcome->result;
}

/* A busy or emulated machine may stand still at any time, hence the retry. */
static enum check_result check_run_case(const struct check_case *it)
{
	enum check_result result = check_run_once(it);
	const bool again = result == CHECK_FAILED && getenv("RPD_RETRY");

	if (again) {
		printf("again: %s: %s\n", it->name, outcome->text);
		result = check_run_once(it);
	}
	if (result == CHECK_PASSED)
		printf("ok %s%s\n", it->name, again ? ": at the second try" : "");
	else
		printf("%s %s: %s\n", result == CHECK_FAILED ? "FAILED" : "skipped", it->name,
		       outcome->text);
	return result;
}

struct selection {
	const char *exact; /* or NULL */
	const char *words[WORDS_MAX];
	size_t n_words;
};

static bool check_is_selected(const struct selection *selection, const char *name)
{
	if (selection->exact && strcmp(selection->exact, name) != 0)
		return false;
	for (size_t i = 0; i < selection->n_words; i++)
		if (strstr(name, selection->words[i]))
			return true;
	return selection->n_words == 0;
}

/* Returns 0, or 2 if the arguments are wrong. */
static int check_parse(int argc, char **argv, struct selection *ret)
{
	for (int option; (option = getopt(argc, argv, "k:")) != -1;) {
		if (option != 'k' || ret->n_words == WORDS_MAX) {
			fprintf(stderr, "usage: %s [-k NAME]...\n", argv[0]);
			return 2;
		}
		ret->words[ret->n_words++] = optarg;
	}
	if (optind == argc)
		return 0;
	fprintf(stderr, "%s: unexpected argument '%s'; usage: %s [-k NAME]...\n", argv[0],
	        argv[optind], argv[0]);
	return 2;
}

static int check_refuse_selection(const char *program, const struct selection *selection)
{
	fprintf(stderr, "%s: no case is selected by", program);
	if (selection->exact)
		fprintf(stderr, " RPD_CASE=%s", selection->exact);
	for (size_t i = 0; i < selection->n_words; i++)
		fprintf(stderr, " -k %s", selection->words[i]);
	fprintf(stderr, "\n");
	return 2;
}

static int check_prepare(void)
{
	sigset_t child;
	int r;

	/* While the main thread blocks it, the end of a child would interrupt another thread. */
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGALRM, check_on_alarm);
	outcome = mmap(NULL, sizeof(*outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
	               -1, 0);
	r = outcome == MAP_FAILED ? -errno : namespaces_enter();
	if (r < 0)
		printf("FAILED namespaces: %s\n0 passed, 1 failed, 0 skipped\n", strerror(-r));
	return r;
}

bool check_is_full(void)
{
	const char *text = getenv("RPD_FULL");

	return text && *text && strcmp(text, "0") != 0;
}

int check_main(int argc, char **argv, const struct check_case *cases, size_t n)
{
	struct selection selection = {.exact = getenv("RPD_CASE")};
	unsigned int count[CHECK_RESULT_MAX] = {0};
	size_t n_selected = 0;

	if (check_parse(argc, argv, &selection) != 0)
		return 2;
	for (size_t i = 0; i < n; i++)
		n_selected += check_is_selected(&selection, cases[i].name);
	if (n_selected == 0)
		return check_refuse_selection(argv[0], &selection);
	if (check_prepare() < 0)
		return 1;
	for (size_t i = 0; i < n; i++)
		if (check_is_selected(&selection, cases[i].name))
			count[check_run_case(&cases[i])]++;
	printf("%u passed, %u failed, %u skipped\n", count[CHECK_PASSED], count[CHECK_FAILED],
	       count[CHECK_SKIPPED]);
	return count[CHECK_FAILED] > 0;
}
