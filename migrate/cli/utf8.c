/*
 * Decoding by the lead byte, with the three things that make a sequence invalid though its bits
 * look right: overlong forms, surrogates, and code points past the last.
 */
#include "migrate/cli/utf8.h"

static size_t sequence_length(unsigned char lead)
{
    if (lead < 0x80)
        return 1;
    if (lead >= 0xc2 && lead < 0xe0)
        return 2;
    if (lead >= 0xe0 && lead < 0xf0)
        return 3;
    return lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
}

size_t nsm_utf8_next(struct nsm_str s, uint32_t *ret_code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    static const unsigned char lead_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    const unsigned char *const bytes = (const unsigned char *)s.ptr;
    const size_t len = sequence_length(bytes[0]);
    if (len == 0 || len > s.len)
        return 0;

    uint32_t code = bytes[0] & lead_bits[len];
    for (size_t i = 1; i < len; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (bytes[i] & 0x3f);
    }
    const bool is_surrogate = code >= 0xd800 && code < 0xe000;
    if (code < least[len] || is_surrogate || code > 0x10ffff)
        return 0;
    *ret_code = code;
    return len;
}
