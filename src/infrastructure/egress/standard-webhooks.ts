/** Signatures of outgoing requests, by Standard Webhooks 1.0.0: https://github.com/standard-webhooks/standard-webhooks */
import { createHmac } from 'node:crypto';

export interface SignedMessage {
  /** The same for every sending of the same message; without a dot. */
  id: string;
  /** Seconds since the Unix epoch. */
  timestampSeconds: number;
  body: string;
}

/** The three headers. With several secrets there are several signatures: whoever knows any of them can verify. */
export function signatureHeaders(message: SignedMessage, secrets: readonly Buffer[]): Record<string, string> {
  const timestamp = String(message.timestampSeconds);
  const signed = `${message.id}.${timestamp}.${message.body}`;
  return {
    'webhook-id': message.id,
    'webhook-timestamp': timestamp,
    'webhook-signature': secrets
      .map((secret) => `v1,${createHmac('sha256', secret).update(signed).digest('base64')}`)
      .join(' '),
  };
}

/** A secret as receivers' libraries take it. */
export function secretText(secret: Buffer): string {
  return `whsec_${secret.toString('base64')}`;
}
