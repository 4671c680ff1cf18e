/* See output.h. Unbuffered: what was written before a crash was seen. */
#include "migrate/cli/output.h"

#include "migrate/base/alloc.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

struct nsm_output {
    int fd;
    pthread_mutex_t mutex; /* guards what follows, and the order of writes */
    int error;             /* errno of the first write that failed */
};

struct nsm_output *nsm_output_new(int fd)
{
    struct nsm_output *const output = nsm_xcalloc(1, sizeof(*output));
    output->fd = fd;
    pthread_mutex_init(&output->mutex, NULL);
    return output;
}

void nsm_output_free(struct nsm_output *output)
{
    if (!output)
        return;
    pthread_mutex_destroy(&output->mutex);
    free(output);
}

/* Whether to try again: a signal, or a pipe that someone has set non-blocking for us. */
static bool may_go_on(int fd)
{
    if (errno == EINTR)
        return true;
    if (errno != EAGAIN)
        return false;
    struct pollfd waits = {.fd = fd, .events = POLLOUT};
    return poll(&waits, 1, -1) > 0 || errno == EINTR;
}

static int write_all(int fd, struct nsm_str text)
{
    while (text.len > 0) {
        const ssize_t written = write(fd, text.ptr, text.len);
        if (written >= 0)
            text = nsm_str_skip(text, (size_t)written);
        else if (!may_go_on(fd))
            return errno;
    }
    return 0;
}

void nsm_output_write(struct nsm_output *output, struct nsm_str text)
{
    pthread_mutex_lock(&output->mutex);
    if (output->error == 0)
        output->error = write_all(output->fd, text);
    pthread_mutex_unlock(&output->mutex);
}

bool nsm_output_is_terminal(const struct nsm_output *output)
{
    return isatty(output->fd) == 1;
}

bool nsm_output_is_broken(struct nsm_output *output)
{
    pthread_mutex_lock(&output->mutex);
    const bool is_broken = output->error != 0;
    pthread_mutex_unlock(&output->mutex);
    return is_broken;
}

struct nsm_error *nsm_output_error(struct nsm_output *output)
{
    pthread_mutex_lock(&output->mutex);
    const int error = output->error;
    pthread_mutex_unlock(&output->mutex);
    if (error == 0 || error == EPIPE)
        return NULL;
    errno = error;
    return nsm_error_new(NSM_E_IO, "write to standard output: %m");
}
