#include "engine/logfile.h"

#include "base/clock.h"
#include "base/str.h"
#include "engine/crash.h"
#include "engine/lines.h"
#include "engine/log.h"
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define ERROR_BYTES  (256u << 10) /* of a ring; powers of two */
#define ACCESS_BYTES (1u << 20)
#define LINGER_MS  500  /* lines that are not urgent wait for others */
#define RETRY_MS   100  /* after a file that took nothing */
#define TELL_MS    10000 /* between two lines that tell what such a file lost */
#define TICK_MS    1000 /* while repeated lines are being counted */
#define END_MS     300  /* for a file that takes nothing, at the end */
#define NOTHING    -1
#define KEEP       -2

static struct logfile {
	const char *const name;
	/* the main thread's; guarded by `lock` where the thread looks */
	char *path;           /* NULL: none, or standard error */
	int given;            /* a descriptor for the thread to go on with, or KEEP */
	int prepared;         /* until the commit; KEEP: what is there */
	char *prepared_path;
	/* the thread's, or the main thread's while there is none */
	zg_sink_t to;
	zg_logring_t *half;   /* whose line has been written in part */
	bool blocked;         /* took nothing last time */
	bool told;            /* of the sink's error */
} files[ZG_LOGFILES] = {
	[ZG_LOGFILE_ERROR] = { .name = "error_log", .given = KEEP, .prepared = KEEP,
	                       .to = { STDERR_FILENO, ZG_SINK_PIPE, 0 } },
	[ZG_LOGFILE_ACCESS] = { .name = "access_log", .given = KEEP, .prepared = KEEP,
	                        .to = { NOTHING, ZG_SINK_FILE, 0 } },
};

struct zg_logring {
	zg_logring_t *next;
	struct logfile *file;
	zg_lines_t lines;
	uint64_t mark;               /* up to here lines are the old file's, while one is given */
	uint64_t told, told_at;      /* of the dropped; ms */
	_Atomic bool ended;
};

static char error_bytes[ERROR_BYTES];
static zg_logring_t error_ring = {
	.file = &files[ZG_LOGFILE_ERROR],
	.lines = { .bytes = error_bytes, .size = ERROR_BYTES, .lock = PTHREAD_MUTEX_INITIALIZER },
};

/* AWAKE: it will look; LINGERS: it looks soon; ASLEEP: any line wakes it. */
enum { AWAKE, LINGERS, ASLEEP };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of rings, paths and `given` */
static zg_logring_t *rings = &error_ring;
static pthread_t thread;
static sem_t wake;
static atomic_int state;
static atomic_bool running, stopping, crashing;

const char *const zg_logfile_words[] = { "stderr", "stdout", NULL };

/* ---- the thread ---- */

static bool empty(const zg_logring_t *r)
{
	return zg_lines_empty(&r->lines);
}

static void drain(zg_logring_t *r)
{
	struct logfile *f = r->file;
	uint64_t until;

	/* a file that is still to come is waited for */
	if (f->to.fd == NOTHING || f->blocked || (f->half && f->half != r))
		return;
	pthread_mutex_lock(&lock);
	until = f->given == KEEP ? atomic_load(&r->lines.head) : r->mark;
	pthread_mutex_unlock(&lock);
	f->blocked = !zg_lines_write(&r->lines, &f->to, until);
	f->half = zg_lines_torn(&r->lines) ? r : NULL;
}

static bool is_given(const struct logfile *f)
{
	bool given;

	pthread_mutex_lock(&lock);
	given = f->given != KEEP;
	pthread_mutex_unlock(&lock);
	return given;
}

/* Goes on with another descriptor. What is left of the old lines because the
 * old file takes nothing goes to the new one, too; without a new one it is lost. */
static void change_files(zg_logring_t *first)
{
	for (size_t i = 0; i < ZG_LOGFILES; i++) {
		struct logfile *f = &files[i];
		int fd;

		if (!is_given(f))
			continue;
		f->blocked = false;
		if (f->half)
			drain(f->half);
		for (zg_logring_t *r = first; r; r = r->next)
			if (r->file == f)
				drain(r);
		pthread_mutex_lock(&lock);
		fd = f->given;
		f->given = KEEP;
		pthread_mutex_unlock(&lock);
		for (zg_logring_t *r = first; r && fd == NOTHING; r = r->next)
			if (r->file == f && !empty(r)) {
				zg_warn("access_log is closed; %llu bytes could not be written to it",
				        (unsigned long long)(r->lines.head - r->lines.tail));
				atomic_store(&r->lines.tail, r->lines.head);
			}
		if (f->to.fd > STDERR_FILENO)
			close(f->to.fd);
		f->to = zg_sink(fd);
		f->half = NULL;
		f->blocked = f->told = false;
	}
}

/* A ring outlives its maker until it is empty. */
static void free_ended(void)
{
	zg_logring_t **link = &rings, *r;

	pthread_mutex_lock(&lock);
	while ((r = *link)) {
		if (!r->ended || !empty(r)) {
			link = &r->next;
			continue;
		}
		*link = r->next;
		free(r->lines.bytes);
		free(r);
	}
	pthread_mutex_unlock(&lock);
}

/* A full disk, say, from its first line on; the error log's own has nowhere to be told. */
static void tell_errors(void)
{
	for (size_t i = 0; i < ZG_LOGFILES; i++) {
		struct logfile *f = &files[i];
		bool is = f->blocked && f->to.error;

		if (is && !f->told && f != error_ring.file)
			zg_error("%s cannot be written: %s; lines wait for it, and are dropped when there are "
			         "too many", f->name, strerror(f->to.error));
		else if (!is && f->told)
			zg_info("%s is written again", f->name);
		f->told = is && f != error_ring.file;
	}
}

static void tell_dropped(zg_logring_t *r)
{
	uint64_t dropped = atomic_load(&r->lines.dropped), now = zg_clock_ms();

	if (dropped == r->told)
		return;
	if (r->file->blocked && (r == &error_ring || now < r->told_at + TELL_MS))
		return;
	r->told_at = now;
	zg_warn("%llu lines of %s were dropped, as it could not be written fast enough",
	        (unsigned long long)(dropped - r->told), r->file->name);
	r->told = dropped;
}

/* Whether there are lines that cannot be written now. */
static bool round_of_writing(void)
{
	zg_logring_t *first;
	bool stuck = false;

	pthread_mutex_lock(&lock);
	first = rings; /* only this thread takes one out */
	pthread_mutex_unlock(&lock);
	change_files(first);
	for (size_t i = 0; i < ZG_LOGFILES; i++) {
		files[i].blocked = false;
		if (files[i].half) /* its line first */
			drain(files[i].half);
	}
	for (zg_logring_t *r = first; r; r = r->next) {
		drain(r);
		if (!crashing) /* see thread_main */
			tell_dropped(r);
	}
	if (!crashing)
		tell_errors();
	for (zg_logring_t *r = first; r; r = r->next)
		stuck |= r->file->blocked && !empty(r);
	free_ended();
	return stuck;
}

static bool anything(void)
{
	bool any = false;

	pthread_mutex_lock(&lock);
	for (zg_logring_t *r = rings; r; r = r->next)
		any |= !empty(r) && r->file->to.fd != NOTHING;
	for (size_t i = 0; i < ZG_LOGFILES; i++)
		any |= files[i].given != KEEP;
	pthread_mutex_unlock(&lock);
	return any;
}

static void sleep_for(uint64_t ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += (time_t)(ms / 1000);
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	sem_clockwait(&wake, CLOCK_MONOTONIC, &t);
	while (sem_trywait(&wake) == 0)
		;
}

/* Until there is something to do. */
static void sleep_well(bool counting)
{
	atomic_store(&state, ASLEEP);
	if (anything() || stopping) /* added before it could be seen that this sleeps */
		return;
	if (counting)
		sleep_for(TICK_MS);
	else
		while (sem_wait(&wake) != 0)
			;
}

static void *thread_main(void *arg)
{
	uint64_t give_up = 0;

	(void)arg;
	zg_log_thread("log");
	for (;;) {
		bool ending = stopping, counting, stuck;

		atomic_store(&state, AWAKE);
		/* a thread that crashes may have the lock that this takes */
		counting = !crashing && zg_log_tick(ending ? ZG_LOG_ALL : ZG_LOG_DUE);
		stuck = round_of_writing();
		if (ending && !stuck && !anything())
			break;
		if (!stuck)
			give_up = 0;
		else if (ending && !give_up)
			give_up = zg_clock_ms() + END_MS;
		else if (ending && zg_clock_ms() > give_up)
			break;
		if (stuck) {
			sleep_for(RETRY_MS);
			continue;
		}
		if (!ending) {
			/* what is not urgent collects meanwhile */
			atomic_store(&state, LINGERS);
			sleep_for(LINGER_MS);
			atomic_store(&state, AWAKE);
		}
		if (!ending && !anything())
			sleep_well(counting);
	}
	return NULL;
}

void zg_logfile_wake(void)
{
	if (running && atomic_exchange(&state, AWAKE) != AWAKE)
		sem_post(&wake);
}

/* ---- rings ---- */

zg_logring_t *zg_logring_new(zg_logfile_id_t id)
{
	zg_logring_t *r = calloc(1, sizeof *r);

	if (!r || !(r->lines.bytes = malloc(r->lines.size = ACCESS_BYTES))) {
		free(r);
		return NULL;
	}
	r->file = &files[id];
	pthread_mutex_init(&r->lines.lock, NULL);
	pthread_mutex_lock(&lock);
	r->next = rings;
	rings = r;
	pthread_mutex_unlock(&lock);
	return r;
}

void zg_logring_end(zg_logring_t **r)
{
	if (*r)
		atomic_store(&(*r)->ended, true);
	*r = NULL;
	zg_logfile_wake();
	if (!running)
		free_ended();
}

int zg_logring_add(zg_logring_t *r, const char *line, size_t n)
{
	size_t used = zg_lines_add(&r->lines, line, n);

	if (used > r->lines.size / 2 || atomic_load(&state) == ASLEEP)
		zg_logfile_wake();
	return used ? 0 : -1;
}

void zg_logfile_error(const char *line, size_t n)
{
	if (!running) {
		/* standard error may be a pipe that nobody reads: not even then for ever */
		zg_sink_write(&error_ring.file->to, line, n, END_MS);
		return;
	}
	zg_lines_add(&error_ring.lines, line, n);
	zg_logfile_wake();
}

void zg_logfile_elsewhere(const char *line, size_t n)
{
	zg_sink_t to = zg_sink(STDERR_FILENO);
	const char *path = files[ZG_LOGFILE_ERROR].path;

	if (path && strcmp(path, zg_logfile_words[0]) != 0)
		zg_sink_write(&to, line, n, END_MS);
}

/* ---- opening ---- */

/* A FIFO that nobody reads yet is no error, and does not hold us up. */
static int open_path(const char *path)
{
	int flags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | flags, 0644);

	if (fd < 0 && errno == ENXIO)
		fd = open(path, O_RDWR | flags);
	return fd;
}

static bool same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static void forget(struct logfile *f)
{
	if (f->prepared > STDERR_FILENO)
		close(f->prepared);
	free(f->prepared_path);
	f->prepared = KEEP;
	f->prepared_path = NULL;
}

int zg_logfile_prepare(zg_logfile_id_t id, const char *path, zg_err_t *err)
{
	struct logfile *f = &files[id];
	char *copy = NULL;
	int fd;

	forget(f);
	if (same(path, f->path))
		return 0;
	if (!path)
		fd = id == ZG_LOGFILE_ERROR ? STDERR_FILENO : NOTHING;
	else if (!strcmp(path, zg_logfile_words[0]))
		fd = STDERR_FILENO;
	else if (!strcmp(path, zg_logfile_words[1]))
		fd = STDOUT_FILENO;
	else if ((fd = open_path(path)) < 0)
		return zg_err(err, "%s: cannot open %s: %s", f->name, path, strerror(errno));
	if (path && !(copy = strdup(path))) {
		if (fd > STDERR_FILENO)
			close(fd);
		return zg_err(err, "%s: out of memory", f->name);
	}
	f->prepared = fd;
	f->prepared_path = copy;
	return 0;
}

/* The thread, or in its absence this one, goes on with fd. */
static void give(struct logfile *f, int fd)
{
	pthread_mutex_lock(&lock);
	if (f->given > STDERR_FILENO)
		close(f->given); /* it has not come to that one yet */
	f->given = fd;
	for (zg_logring_t *r = rings; r; r = r->next)
		if (r->file == f)
			r->mark = atomic_load(&r->lines.head);
	pthread_mutex_unlock(&lock);
	if (running)
		zg_logfile_wake();
	else
		change_files(rings);
}

void zg_logfile_commit(void)
{
	for (size_t i = 0; i < ZG_LOGFILES; i++) {
		struct logfile *f = &files[i];
		int fd = f->prepared;

		if (fd == KEEP)
			continue;
		free(f->path);
		f->path = f->prepared_path;
		f->prepared = KEEP;
		f->prepared_path = NULL;
		give(f, fd);
	}
}

void zg_logfile_abort(void)
{
	for (size_t i = 0; i < ZG_LOGFILES; i++)
		forget(&files[i]);
}

int zg_logfile_reopen(void)
{
	int rc = 0;

	for (size_t i = 0; i < ZG_LOGFILES; i++) {
		struct logfile *f = &files[i];
		int fd;

		if (!f->path || !strcmp(f->path, zg_logfile_words[0]) ||
		    !strcmp(f->path, zg_logfile_words[1]))
			continue;
		if ((fd = open_path(f->path)) >= 0) {
			give(f, fd);
			continue;
		}
		zg_error("%s: cannot open %s again: %s; the file opened before is written on", f->name,
		         f->path, strerror(errno));
		rc = -1;
	}
	return rc;
}

/* ---- for a crash ---- */

bool zg_logfile_hurry(void)
{
	bool left = false;

	if (!running || pthread_equal(pthread_self(), thread))
		return false;
	crashing = true;
	atomic_store(&state, AWAKE);
	sem_post(&wake);
	for (zg_logring_t *r = rings; r; r = r->next)
		left |= r->file->to.fd != NOTHING && !empty(r);
	return left;
}

/* ---- from start to end ---- */

int zg_logfile_start(zg_err_t *err)
{
	sigset_t all, was;
	int rc;

	sem_init(&wake, 0, 0);
	for (size_t i = 0; i < ZG_LOGFILES; i++)
		files[i].to = zg_sink(files[i].to.fd);
	stopping = false;
	running = true;
	sigfillset(&all);
	zg_crash_spare(&all);
	pthread_sigmask(SIG_SETMASK, &all, &was);
	rc = pthread_create(&thread, NULL, thread_main, NULL);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	if (rc != 0) {
		running = false;
		return zg_err(err, "cannot make a thread: %s", strerror(rc));
	}
	zg_crash_watch();
	return 0;
}

void zg_logfile_stop(void)
{
	struct timespec until;

	if (!running)
		return;
	zg_crash_unwatch();
	stopping = true;
	atomic_store(&state, AWAKE);
	sem_post(&wake);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 2; /* a disk that does not answer keeps nobody from ending */
	if (pthread_timedjoin_np(thread, NULL, &until) != 0)
		pthread_detach(thread);
	running = false;
}
