import { Global, Module } from '@nestjs/common';
import { AppConfig } from '../../config/app-config.js';
import { parseNetwork } from './address.js';
import type { EgressRules } from './destination.js';
import { Egress, MemberEgress } from './egress.js';
import { NodeEgress } from './node-egress.js';
import { SigningSecrets } from './signing-secrets.js';

@Global()
@Module({
  providers: [
    {
      provide: Egress,
      inject: [AppConfig],
      useFactory: (config: AppConfig) => new NodeEgress({ rules: egressRules(config, config.egressAllowCidrs) }),
    },
    {
      provide: MemberEgress,
      inject: [AppConfig],
      useFactory: (config: AppConfig) =>
        new NodeEgress({ rules: egressRules(config, config.egressMemberAllowCidrs), hidesReasons: true }),
    },
    SigningSecrets,
  ],
  exports: [Egress, MemberEgress, SigningSecrets],
})
export class EgressModule {}

/** What the operator's configuration allows and bars. */
function egressRules(config: AppConfig, allowCidrs: readonly string[]): EgressRules {
  const url = new URL(config.publicUrl(config.port));
  const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
  return {
    allowed: allowCidrs.map(parseNetwork),
    own: [
      { hostname: url.hostname.replace(/^\[(.*)\]$/, '$1'), port },
      { hostname: config.host, port: config.port },
    ],
  };
}
