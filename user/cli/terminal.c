/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "base/cleanup.h"

/* Switch to the alternate screen and hide the cursor; and back. */
#define SCREEN_CLEAR "\033[2J"
#define SCREEN_ENTER "\033[?1049h\033[?25l" SCREEN_CLEAR
#define SCREEN_LEAVE "\033[0m\033[?25h\033[?1049l"

#define WRITE_WAIT_MS 500

/* How long to wait for the next byte of a key: over a network its bytes may arrive separately. */
#define KEY_WAIT_MS 50

#define SIDE_MAX 1000 /* the largest width or height of a screen, in characters */

int terminal_check(struct error *err)
{
	const char *kind = getenv("TERM");

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return error_usage(err,
		                   "the live view needs a terminal; use `reuseportd status`, "
		                   "or `status --json` for programs");
	if (!kind || !kind[0] || !strcmp(kind, "dumb"))
		return error_usage(err,
		                   "this terminal can't show the live view (TERM is '%s'); "
		                   "use `reuseportd status`",
		                   kind ? kind : "");
	return 0;
}

/* Ctrl-C and Ctrl-Z still send signals. Ctrl-S no longer stops the output, which would block us. */
int terminal_enter(struct terminal *terminal, struct error *err)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &terminal->before) < 0)
		return error_set(err, -errno, "can't read the terminal's settings: %s",
		                 strerror(errno));
	/* A new open file description: O_NONBLOCK on stdout's own would affect other processes. */
	terminal->out = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (terminal->out < 0) /* the terminal belongs to another user: stdout itself has to do */
		terminal->out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	raw = terminal->before;
	raw.c_lflag &= ~(ICANON | ECHO | IEXTEN);
	raw.c_iflag &= ~(IXON | ICRNL | INLCR | IGNCR | ISTRIP);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	terminal->entered = true;
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) < 0)
		return error_set(err, -errno, "can't set up the terminal: %s", strerror(errno));
	terminal_write(terminal, SCREEN_ENTER, strlen(SCREEN_ENTER));
	return 0;
}

void terminal_leave(struct terminal *terminal)
{
	if (!terminal->entered)
		return;
	terminal->entered = false;
	terminal_write(terminal, SCREEN_LEAVE, strlen(SCREEN_LEAVE));
	tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal->before);
	cleanup_close(&terminal->out);
	terminal->out = -1;
}

void terminal_size(unsigned int *ret_rows, unsigned int *ret_columns)
{
	struct winsize size = {};

	ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	*ret_rows = size.ws_row ? size.ws_row : 24; /* a serial line has no size */
	*ret_columns = size.ws_col ? size.ws_col : 80;
	if (*ret_rows > SIDE_MAX)
		*ret_rows = SIDE_MAX;
	if (*ret_columns > SIDE_MAX)
		*ret_columns = SIDE_MAX;
}

void terminal_clear(const struct terminal *terminal)
{
	terminal_write(terminal, SCREEN_CLEAR, strlen(SCREEN_CLEAR));
}

bool terminal_is_utf8(void)
{
	return setlocale(LC_CTYPE, "") && !strcmp(nl_langinfo(CODESET), "UTF-8");
}

size_t terminal_fit(const char *text, unsigned int columns)
{
	mbstate_t state = {};
	size_t at = 0;

	while (text[at]) {
		wchar_t c;
		size_t n = mbrtowc(&c, text + at, MB_CUR_MAX, &state);
		int width = 1;

		if (n > MB_CUR_MAX) { /* it is none of the encoding */
			memset(&state, 0, sizeof(state));
			n = 1;
		} else if ((width = wcwidth(c)) < 0) {
			width = 1;
		}
		if ((unsigned int)width > columns)
			break;
		columns -= (unsigned int)width;
		at += n;
	}
	return at;
}

bool terminal_has_colour(void)
{
	const char *no_colour = getenv("NO_COLOR");

	return !no_colour || !no_colour[0];
}

void terminal_write(const struct terminal *terminal, const char *text, size_t n)
{
	struct pollfd writable = {.fd = terminal->out, .events = POLLOUT};

	while (n > 0 && poll(&writable, 1, WRITE_WAIT_MS) == 1) {
		ssize_t done = write(terminal->out, text, n);

		if (done < 0 && errno != EAGAIN)
			return;
		if (done > 0) {
			text += done;
			n -= done;
		}
	}
}

/* The next byte, KEY_NONE if none arrives in time, or KEY_GONE. */
static int terminal_next_byte(int wait_ms)
{
	struct pollfd readable = {.fd = STDIN_FILENO, .events = POLLIN};
	unsigned char byte;
	ssize_t n;

	if (poll(&readable, 1, wait_ms) != 1)
		return KEY_NONE;
	n = read(STDIN_FILENO, &byte, 1);
	if (n == 1)
		return byte;
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? KEY_NONE : KEY_GONE;
}

/* What a terminal sends after ESC [ or ESC O: parameters and a final byte (ECMA-48, 5.4). */
static int terminal_control_sequence(void)
{
	static const struct {
		int parameter, final, key;
	} keys[] = {
	        {0, 'A', KEY_UP},      {0, 'B', KEY_DOWN},      {0, 'H', KEY_HOME},
	        {0, 'F', KEY_END},     {1, '~', KEY_HOME},      {4, '~', KEY_END},
	        {5, '~', KEY_PAGE_UP}, {6, '~', KEY_PAGE_DOWN},
	};
	int parameter = 0, byte;

	while ((byte = terminal_next_byte(KEY_WAIT_MS)) >= 0 && byte < 0x40)
		parameter = byte - '0';
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (keys[i].final == byte && keys[i].parameter == parameter)
			return keys[i].key;
	return KEY_UNKNOWN;
}

int terminal_key(void)
{
	int byte = terminal_next_byte(0);

	if (byte != '\033')
		return byte;
	byte = terminal_next_byte(KEY_WAIT_MS);
	return byte == '[' || byte == 'O' ? terminal_control_sequence() : KEY_UNKNOWN;
}
