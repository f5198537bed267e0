// The words of choosing an address, and of saying how well its place is known.

import { i18n } from "../i18n/index.svelte";

const en = {
  choose: "Where shall we bring it?",
  label: "Address",
  placeholder: "Street and number, or neighbourhood",
  gps: "Use my location",
  locating: "Looking for you…",
  denied: "The browser cannot tell where you are. Type the address or set the pin.",
  clear: "Clear",
  recent: "Recent",
  found: (k: number) => `${k} found`,
  nothing: "Not found. Keep it as you typed it, and set the pin on the map.",
  preparing: "Streets are still being prepared; neighbourhoods are found already.",
  postcode: (code: string) => `Postcode ${code}`,
  move: "Move the map until the pin is at the door",
  byPin: "Where you put the pin",
  byGps: (metres: string) => `Accurate to about ±${metres}`,
  kept: "Your pin stays where it was",
  coarse: {
    street: (metres: string) => `Only the street is known (within ${metres}). Move the pin to the door.`,
    dong: (metres: string) => `Only the neighbourhood is known (within ${metres}). Move the pin to the door.`,
    district: (metres: string) => `Only the district is known (within ${metres}). Move the pin to the door.`,
  },
  asItIs: "Leave it there",
  detail: "Building, floor, door",
  detailPlaceholder: "e.g. 3rd floor, door code 1234",
  use: "Deliver here",
  pin: "Pin of the address",
  /** To rider and store. */
  about: {
    street: (metres: string) => `The pin shows the street only (within ${metres}): go by the address`,
    dong: (metres: string) => `The pin shows the neighbourhood only (within ${metres}): go by the address`,
    district: (metres: string) => `The pin shows the district only (within ${metres}): go by the address`,
  },
};

const ko: typeof en = {
  choose: "어디로 가져다 드릴까요?",
  label: "주소",
  placeholder: "도로명과 번호, 또는 동 이름",
  gps: "현재 위치 사용",
  locating: "위치를 찾는 중…",
  denied: "브라우저에서 위치를 알 수 없습니다. 주소를 입력하거나 핀을 맞춰 주세요.",
  clear: "지우기",
  recent: "최근 주소",
  found: (k) => `${k}건`,
  nothing: "찾지 못했습니다. 적은 그대로 쓰고, 지도에서 핀을 맞춰 주세요.",
  preparing: "도로명 주소를 준비하고 있습니다. 동 이름은 지금도 찾을 수 있습니다.",
  postcode: (code) => `우편번호 ${code}`,
  move: "지도를 움직여 핀을 문 앞에 맞춰 주세요",
  byPin: "직접 맞춘 핀 위치",
  byGps: (metres) => `오차 약 ±${metres}`,
  kept: "핀은 그대로 두었어요",
  coarse: {
    street: (metres) => `도로 단위 위치입니다(${metres} 이내). 핀을 문 앞으로 옮겨 주세요.`,
    dong: (metres) => `동 단위 위치입니다(${metres} 이내). 핀을 문 앞으로 옮겨 주세요.`,
    district: (metres) => `구 단위 위치입니다(${metres} 이내). 핀을 문 앞으로 옮겨 주세요.`,
  },
  asItIs: "그대로 쓰기",
  detail: "동, 층, 호",
  detailPlaceholder: "예: 3층, 공동현관 1234",
  use: "여기로 배달",
  pin: "배달 위치 핀",
  about: {
    street: (metres) => `핀은 도로 단위(${metres} 이내)입니다. 주소를 보고 찾아가세요`,
    dong: (metres) => `핀은 동 단위(${metres} 이내)입니다. 주소를 보고 찾아가세요`,
    district: (metres) => `핀은 구 단위(${metres} 이내)입니다. 주소를 보고 찾아가세요`,
  },
};

const catalogues = { en, ko };

export const addressWords = {
  /** Follows the language of the page. */
  get w(): typeof en {
    return catalogues[i18n.language];
  },
};

export type Coarse = keyof typeof en.coarse;
export const isCoarse = (precision: string): precision is Coarse => precision in en.coarse;
