// The words of how right the arrival times were.

import { i18n } from "../i18n/index.svelte";

const en = {
  title: "Arrival accuracy",
  about: (aimed: string) => `Every arrival is shown as an interval that should hold ${aimed} of ten. This is how many it held.`,
  span: "Of the orders delivered",
  days: { 1: "Last day", 7: "7 days", 30: "30 days" } as Record<number, string>,
  none: "No deliveries in this time",
  few: "Few deliveries so far. A new server guesses at first and learns with each of them.",
  promise: "in time with what was shown first",
  ofTen: (share: string) => `${share} of 10`,
  deliveries: (k: string) => `${k} deliveries`,
  stages: {
    promised: "First shown to the customer",
    placed: "The store has not accepted",
    cooking: "Cooking, no rider yet",
    waiting: "Cooked, no rider yet",
    assigned: "Rider on the way to the store",
    carrying: "On the way to the door",
    near: "Less than 2 min to go",
  } as Record<string, string>,
  early: "Earlier",
  inside: "Within the interval",
  later: "Later",
  aim: "Aim",
  off: (span: string) => `off by ${span}`,
  wide: (span: string) => `interval ${span}`,
  mean: (span: string, later: boolean) => `on average ${span} ${later ? "later" : "earlier"} than shown`,
};

const ko: typeof en = {
  title: "도착 예측 정확도",
  about: (aimed) => `도착 시각은 구간으로 보여 주며, 열 건 중 ${aimed}건이 그 안에 도착해야 합니다. 실제로는 이랬습니다.`,
  span: "배달을 마친 주문",
  days: { 1: "최근 하루", 7: "7일", 30: "30일" },
  none: "이 기간에 배달이 없습니다",
  few: "아직 배달이 적습니다. 처음에는 어림으로 보여 주고, 배달할 때마다 배웁니다.",
  promise: "처음 보여 준 구간 안에 도착",
  ofTen: (share) => `10건 중 ${share}건`,
  deliveries: (k) => `배달 ${k}건`,
  stages: {
    promised: "고객에게 처음 보여 준 시각",
    placed: "가게 수락 전",
    cooking: "조리 중, 라이더 미정",
    waiting: "조리 완료, 라이더 미정",
    assigned: "라이더가 가게로 가는 중",
    carrying: "고객에게 가는 중",
    near: "도착 2분 전부터",
  },
  early: "더 일찍",
  inside: "구간 안",
  later: "더 늦게",
  aim: "목표",
  off: (span) => `오차 ${span}`,
  wide: (span) => `구간 ${span}`,
  mean: (span, later) => `평균 ${span} ${later ? "늦게" : "일찍"} 도착`,
};

const catalogues = { en, ko };

export const accuracyWords = {
  /** Follows the language of the page. */
  get w(): typeof en {
    return catalogues[i18n.language];
  },
};
