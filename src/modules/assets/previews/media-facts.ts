import { ADTS, EncodedPacketSink, FilePathSource, Input, MATROSKA, MP3, MP4, OGG, QTFF, WAVE, WEBM } from 'mediabunny';
import type { MediaFacts } from './preview-job.js';

/**
 * Containers that are files in themselves; playlists, which name others, are not among them. Nor is FLAC: the library never ends with one
 * that has no frame (`flac-file.ts` reads those).
 */
const FORMATS = [MP4, QTFF, MATROSKA, WEBM, MP3, WAVE, OGG, ADTS];
/** Packets that are counted to tell the frame rate. */
const COUNTED = 400;

export interface MediaLook {
  facts: MediaFacts;
  /** The first picture, where it is a whole VP8 frame: then it is a WebP too. */
  vp8: Uint8Array | null;
}

/** What the container says, without decoding anything. @throws Error for what is none of these containers */
export async function lookAtMedia(path: string): Promise<MediaLook> {
  const input = new Input({ source: new FilePathSource(path), formats: FORMATS });
  try {
    const facts: MediaFacts = {};
    const seconds = await input.computeDuration();
    if (Number.isFinite(seconds) && seconds > 0) {
      facts['duration_seconds'] = rounded(seconds);
    }
    const sound = await input.getPrimaryAudioTrack();
    if (sound !== null) {
      facts['sample_rate'] = await sound.getSampleRate();
      facts['channels'] = await sound.getNumberOfChannels();
      facts['audio_codec'] = (await sound.getCodec()) ?? 'unknown';
    }
    const video = await input.getPrimaryVideoTrack();
    if (video === null) {
      return { facts, vp8: null };
    }
    facts['width'] = await video.getDisplayWidth();
    facts['height'] = await video.getDisplayHeight();
    const codec = await video.getCodec();
    facts['video_codec'] = codec ?? 'unknown';
    const { averagePacketRate, packetCount } = await video.computePacketStats(COUNTED);
    if (Number.isFinite(averagePacketRate) && averagePacketRate > 0) {
      facts['frame_rate'] = rounded(averagePacketRate);
      facts['frames'] = packetCount < COUNTED ? packetCount : Math.round(seconds * averagePacketRate);
    }
    const packet = codec === 'vp8' ? await new EncodedPacketSink(video).getFirstPacket() : null;
    return { facts, vp8: packet?.data ?? null };
  } finally {
    input.dispose();
  }
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}
