/**
 * The bytes of an unpadded base64url text (RFC 4648, section 5), or null where it is not the one text that encodes them. Node's own decoder
 * skips what it does not know, takes both alphabets and padding, and drops the bits that are left over at the end, so that many texts
 * give the same bytes: a signature or a token would have several spellings.
 */
export function decodeBase64url(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : null;
}
