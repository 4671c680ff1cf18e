/* An entry is a kind and how many times in a row a key of that shape was of it; 0 times: unknown. */
#include "adapters/redis/redis_guess.h"

#include "migrate/base/cleanup.h"

/* In a row, before the next is guessed; and as many as are counted. */
#define ENOUGH 16
/* The beginning of a key tells enough. */
#define MAX_SHAPE_BYTES 96

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c & 0x80);
}

static uint32_t mix(uint32_t hash, uint32_t byte)
{
    return (hash ^ byte) * UINT32_C(16777619);
}

uint8_t nsm_redis_shape(struct nsm_str key)
{
    const size_t end = key.len < MAX_SHAPE_BYTES ? key.len : MAX_SHAPE_BYTES;
    uint32_t hash = UINT32_C(2166136261);
    uint32_t hash_of_word = hash; /* with the letters of the word so far */
    bool has_digits = false;
    for (size_t at = 0; at < end; at++) {
        const char c = key.ptr[at];
        if (is_digit(c)) {
            has_digits = true;
        } else if (is_letter(c)) {
            hash_of_word = mix(hash_of_word, (unsigned char)c);
        } else {
            hash = mix(has_digits ? mix(hash, '0') : hash_of_word, (unsigned char)c);
            hash_of_word = hash;
            has_digits = false;
        }
    }
    hash = has_digits ? mix(hash, '0') : hash_of_word;
    return (uint8_t)(hash ^ hash >> 8 ^ hash >> 16 ^ hash >> 24);
}

enum nsm_kind nsm_redis_guess(const struct nsm_redis_guesses *guesses, uint8_t shape)
{
    const uint16_t entry = atomic_load_explicit(&guesses->shapes[shape], memory_order_relaxed);
    return (entry & 0xff) >= ENOUGH ? (enum nsm_kind)(entry >> 8) : NSM_KIND_DUMP;
}

void nsm_redis_guess_learn(struct nsm_redis_guesses *guesses, uint8_t shape, enum nsm_kind kind)
{
    const uint16_t entry = atomic_load_explicit(&guesses->shapes[shape], memory_order_relaxed);
    unsigned n_times = entry >> 8 == (unsigned)kind ? (entry & 0xffU) + 1 : 1;
    if (kind == NSM_KIND_DUMP)
        n_times = 0;
    n_times = n_times > ENOUGH ? ENOUGH : n_times;
    const uint16_t learned = (uint16_t)((unsigned)kind << 8 | n_times);
    if (learned != entry)
        atomic_store_explicit(&guesses->shapes[shape], learned, memory_order_relaxed);
}

bool nsm_redis_guess_knows(const struct nsm_redis_guesses *guesses, enum nsm_kind kind)
{
    for (size_t shape = 0; shape < NSM_REDIS_SHAPES; shape++) {
        const uint16_t entry = atomic_load_explicit(&guesses->shapes[shape], memory_order_relaxed);
        if ((entry & 0xff) > 0 && entry >> 8 == (int)kind)
            return true;
    }
    return false;
}

void nsm_redis_guess_measured(struct nsm_redis_guesses *guesses, uint64_t n_bytes)
{
    uint64_t largest = atomic_load_explicit(&guesses->largest_bytes, memory_order_relaxed);
    while (n_bytes > largest &&
           !atomic_compare_exchange_weak(&guesses->largest_bytes, &largest, n_bytes))
        ;
}

bool nsm_redis_kind_parse(struct nsm_str type, enum nsm_kind *ret)
{
    enum nsm_kind kind;
    if (!nsm_kind_parse(type, &kind) || kind == NSM_KIND_ROW || kind == NSM_KIND_DUMP)
        return false;
    *ret = kind;
    return true;
}
